"""Which currency an amount names: ISO 4217 codes, and the signs that stand for them, as SQL."""

import re

from features.crm.values import literal

ISO_CODES = frozenset(
    [
        "AED",
        "AFN",
        "ALL",
        "AMD",
        "ANG",
        "AOA",
        "ARS",
        "AUD",
        "AWG",
        "AZN",
        "BAM",
        "BBD",
        "BDT",
        "BGN",
        "BHD",
        "BIF",
        "BMD",
        "BND",
        "BOB",
        "BRL",
        "BSD",
        "BTN",
        "BWP",
        "BYN",
        "BZD",
        "CAD",
        "CDF",
        "CHF",
        "CLF",
        "CLP",
        "CNH",
        "CNY",
        "COP",
        "CRC",
        "CUP",
        "CVE",
        "CZK",
        "DJF",
        "DKK",
        "DOP",
        "DZD",
        "EGP",
        "ERN",
        "ETB",
        "EUR",
        "FJD",
        "FKP",
        "GBP",
        "GEL",
        "GHS",
        "GIP",
        "GMD",
        "GNF",
        "GTQ",
        "GYD",
        "HKD",
        "HNL",
        "HRK",
        "HTG",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "IQD",
        "IRR",
        "ISK",
        "JMD",
        "JOD",
        "JPY",
        "KES",
        "KGS",
        "KHR",
        "KMF",
        "KPW",
        "KRW",
        "KWD",
        "KYD",
        "KZT",
        "LAK",
        "LBP",
        "LKR",
        "LRD",
        "LSL",
        "LYD",
        "MAD",
        "MDL",
        "MGA",
        "MKD",
        "MMK",
        "MNT",
        "MOP",
        "MRU",
        "MUR",
        "MVR",
        "MWK",
        "MXN",
        "MYR",
        "MZN",
        "NAD",
        "NGN",
        "NIO",
        "NOK",
        "NPR",
        "NZD",
        "OMR",
        "PAB",
        "PEN",
        "PGK",
        "PHP",
        "PKR",
        "PLN",
        "PYG",
        "QAR",
        "RON",
        "RSD",
        "RUB",
        "RWF",
        "SAR",
        "SBD",
        "SCR",
        "SDG",
        "SEK",
        "SGD",
        "SHP",
        "SLE",
        "SLL",
        "SOS",
        "SRD",
        "SSP",
        "STN",
        "SVC",
        "SYP",
        "SZL",
        "THB",
        "TJS",
        "TMT",
        "TND",
        "TOP",
        "TRY",
        "TTD",
        "TWD",
        "TZS",
        "UAH",
        "UGX",
        "USD",
        "UYU",
        "UZS",
        "VES",
        "VND",
        "VUV",
        "WST",
        "XAF",
        "XCD",
        "XOF",
        "XPF",
        "YER",
        "ZAR",
        "ZMW",
        "ZWL",
    ]
)
SIGNS = {
    "US$": "USD", "R$": "BRL", "AU$": "AUD", "A$": "AUD", "CA$": "CAD", "C$": "CAD", "NZ$": "NZD",
    "HK$": "HKD", "S$": "SGD",
    "MX$": "MXN", "NT$": "TWD", "CN¥": "CNY", "€": "EUR", "£": "GBP", "¥": "JPY", "￥": "JPY",
    "₹": "INR", "₩": "KRW",
    "₽": "RUB", "₺": "TRY", "₴": "UAH", "฿": "THB", "₫": "VND", "₪": "ILS", "₱": "PHP", "₦": "NGN",
    "ZŁ": "PLN",
    "KČ": "CZK", "FT": "HUF", "FR.": "CHF", "FRANKEN": "CHF",
    "EURO": "EUR", "EUROS": "EUR", "DOLLAR": "$", "DOLLARS": "$", "POUND": "GBP", "POUNDS": "GBP",
    "$": "$", "KR": "kr",
}  # fmt: skip
"""Sign, in capitals → code; `$` and `kr` are several countries' own."""
_NAMES = {
    "us"
    " dollar": "USD", "u.s. dollar": "USD", "american dollar": "USD", "euro": "EUR", "pound sterling": "GBP",
    "british pound": "GBP", "pound": "GBP", "japanese yen": "JPY", "yen": "JPY", "swiss franc": "CHF",
    "canadian dollar": "CAD", "australian dollar": "AUD", "new zealand dollar": "NZD", "indian rupee": "INR",
    "chinese"
    " yuan": "CNY", "renminbi": "CNY", "brazilian real": "BRL", "swedish krona": "SEK", "danish krone": "DKK",
    "norwegian krone": "NOK", "polish zloty": "PLN", "mexican peso": "MXN", "singapore dollar": "SGD",
    "hong kong dollar": "HKD", "south african rand": "ZAR",
}  # fmt: skip
SHARED_SIGNS = {
    "$": ("USD", "CAD", "AUD", "NZD", "HKD", "SGD", "MXN", "TWD", "BRL", "ARS", "CLP", "COP"),
    "kr": ("SEK", "NOK", "DKK", "ISK"),
}
"""Sign → the currencies it is written for."""


IN_A_HEADER = re.compile(r"\s*[(\[]([A-Z]{3}|[$€£¥₹])[)\]]$")
"""A currency behind a column's name: `Annual value (EUR)`."""
_WORDS = frozenset({"ALL", "TOP"})


def of_header(name: str) -> str | None:
    """The code (or shared sign) of the currency that a column's name ends in, None for none."""
    match = IN_A_HEADER.search(name)
    code = SIGNS.get(match[1], match[1]) if match else ""
    return code if code in SHARED_SIGNS or code in ISO_CODES - _WORDS else None


def named_in(text: str) -> str:
    """An SQL expression for the code (or shared sign) that an amount in `text` names, null for none."""
    upper = f"upper({text})"
    code = f"nullif(regexp_extract({upper}, '(?:^|[^A-Z])([A-Z]{{3}})(?:$|[^A-Z])', 1), '')"
    codes = ", ".join(literal(each) for each in sorted(ISO_CODES))
    signs = sorted(SIGNS, key=len, reverse=True)
    pattern = "|".join(re.escape(sign) for sign in signs)
    lettered = rf"(?:^|[\s\d.,()−+-])({pattern})(?:$|[\s\d.,()−+-])"
    sign = f"nullif(regexp_extract({upper}, {literal(lettered)}, 1), '')"
    cases = " ".join(f"WHEN {literal(each)} THEN {literal(SIGNS[each])}" for each in signs)
    return f"CASE WHEN {code} IN ({codes}) THEN {code} ELSE CASE {sign} {cases} END END"


def called(text: str) -> str:
    """An SQL expression for the code of a currency that is called by its English name, null for others."""
    cases = " ".join(f"WHEN {literal(name)} THEN {literal(code)}" for name, code in _NAMES.items())
    return f"CASE rtrim(lower(trim({text})), 's') {cases} END"


def meant_by(sign: str, home: str | None) -> str:
    """The code that a sign shared by several currencies stands for: the home one, if it is written so."""
    shared = SHARED_SIGNS.get(sign)
    if shared is None:
        return sign
    return home if home in shared else "USD" if sign == "$" else sign
