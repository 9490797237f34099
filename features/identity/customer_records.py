"""Records of customers as other systems keep them, beside the CRM's accounts, in words to compare."""

import re
import tempfile
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from features.crm.columns_match import matched
from features.crm.contract import Column, Kind, Table
from features.crm.crm import Crm
from features.errors import RenewalError
from features.sources.folder import as_parquet
from features.sources.readers import connect

CRM = "crm"
"""The system whose records are the CRM's accounts."""
FORM = Table(
    "records",
    (
        Column("id", Kind.ID, required=True, aliases=("account_id", "customer_id", "company_id", "org_id")),
        Column(
            "name", Kind.TEXT, required=True,
            aliases=("company", "company_name", "customer", "customer_name", "organisation", "organization"),
        ),
        Column("domain", Kind.TEXT, aliases=("website", "url", "web", "site", "homepage")),
        Column("email", Kind.TEXT, aliases=("e_mail", "mail", "billing_email", "contact_email")),
        Column(
            "street", Kind.TEXT,
            aliases=("address", "address_1", "address_line1", "line1", "billing_street", "street_address"),
        ),
        Column("city", Kind.TEXT, aliases=("town", "billing_city", "address_city")),
        Column(
            "postal_code", Kind.TEXT,
            aliases=("zip", "zip_code", "postcode", "billing_postal_code", "address_postal_code"),
        ),
        Column("country", Kind.TEXT, aliases=("billing_country", "country_code", "address_country")),
        Column("phone", Kind.TEXT, aliases=("telephone", "phone_number", "tel", "billing_phone")),
        Column("parent", Kind.ID, aliases=("parent_account_id", "parent_id", "parent_company_id")),
    ),
)  # fmt: skip
"""What is read of a record; other spellings of the names are found as those of the contract are."""
COMPARED = ("name_core", "web", "phone_end", "street_core", "city_core", "postal_core", "country_core")
FREE_MAIL = frozenset(
    [
        "gmail.com",
        "googlemail.com",
        "outlook.com",
        "hotmail.com",
        "live.com",
        "msn.com",
        "yahoo.com",
        "icloud.com",
        "me.com",
        "aol.com",
        "gmx.de",
        "gmx.net",
        "gmx.com",
        "web.de",
        "t-online.de",
        "freenet.de",
        "orange.fr",
        "free.fr",
        "wanadoo.fr",
        "laposte.net",
        "libero.it",
        "mail.com",
        "mail.ru",
        "yandex.ru",
        "proton.me",
        "protonmail.com",
        "zoho.com",
        "qq.com",
        "163.com",
    ]
)
"""Domains of mail providers: they say nothing of who somebody works for."""
_LEGAL = frozenset(
    [
        "inc",
        "incorporated",
        "corp",
        "corporation",
        "co",
        "company",
        "llc",
        "llp",
        "lp",
        "ltd",
        "limited",
        "plc",
        "gmbh",
        "mbh",
        "ag",
        "kg",
        "kgaa",
        "ohg",
        "ug",
        "se",
        "eg",
        "ev",
        "sa",
        "sas",
        "sarl",
        "sasu",
        "srl",
        "spa",
        "sl",
        "slu",
        "sau",
        "bv",
        "nv",
        "vof",
        "ab",
        "as",
        "asa",
        "aps",
        "oy",
        "oyj",
        "kft",
        "zrt",
        "sro",
        "doo",
        "pty",
        "pte",
        "bhd",
        "sdn",
        "kk",
        "the",
        "and",
        "und",
        "et",
        "y",
    ]
)
"""Words of a name that say what kind of company it is, not which."""
_PHONE_DIGITS = 8


def account_records(crm: Crm) -> pd.DataFrame:
    """The CRM's accounts as records; one without a domain has that of its contacts' mails."""
    rows = crm.frame("accounts").rename(columns={"parent_account_id": "parent"})
    records = form_records(rows, CRM)
    if crm.has("contacts", "account_id", "email"):
        contacts = crm.frame("contacts", ["account_id", "email"])
        web = contacts["email"].map(web_of)
        usual = web.groupby(contacts["account_id"]).agg(_commonest)
        records["web"] = records["web"].fillna(records["id"].map(usual))
    return records


def _commonest(values: pd.Series) -> Any:
    return next(iter(values.mode()), None)


def read_records(system: str, path: Path) -> pd.DataFrame:
    """A system's records from a CSV, Excel, JSON or Parquet file.

    Raises:
        RenewalError: the file can't be read, or lacks an id or a name.
    """
    if not path.is_file():
        raise RenewalError(expected=f"a file of {system}'s records", found=f"none at {path}", do="Check it.")
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "spill") as connection:
        rows = pq.read_table(as_parquet(connection, path, Path(folder))).to_pandas()
    return form_records(rows, system)


def form_records(rows: pd.DataFrame, system: str) -> pd.DataFrame:
    """A system's rows as records: `system`, `record`, the columns of `FORM`, and `COMPARED`.

    Raises:
        RenewalError: they lack an id or a name.
    """
    names = matched(FORM, [str(name) for name in rows.columns])
    lacking = [name for name in FORM.required if name not in names]
    if lacking:
        raise RenewalError(
            expected=f"columns id and name in {system}'s records",
            found=", ".join(map(str, rows.columns)),
            do=f"Add {' and '.join(lacking)}, or rename a column.",
        )
    given = {name: _text(rows[names[name]]) if name in names else None for name in FORM.by_name}
    form = pd.DataFrame(given, index=rows.index, columns=list(FORM.by_name), dtype=object)
    form = form[form["id"].notna()].drop_duplicates("id").reset_index(drop=True)
    return pd.concat(
        [pd.DataFrame({"system": system, "record": system + ":" + form["id"].astype(str)}), form], axis=1
    ).assign(
        name_core=form["name"].map(name_core),
        web=form["domain"].map(web_of).fillna(form["email"].map(web_of)),
        phone_end=form["phone"].map(phone_end),
        street_core=form["street"].map(plain_words),
        city_core=form["city"].map(plain_words),
        postal_core=form["postal_code"].map(lambda x: plain_words(x, "")),
        country_core=form["country"].map(plain_words),
    )


def _text(values: pd.Series) -> pd.Series:
    text = values.astype("string").str.strip()
    return text.where(text != "").astype(object).where(text.notna() & (text != ""), None)


def plain_words(text: str | None, between: str = " ") -> str | None:
    """Lower-case letters and digits without accents; None where nothing is left."""
    if not isinstance(text, str):
        return None
    folded = unicodedata.normalize("NFKD", text.casefold().replace("ß", "ss"))
    bare = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return between.join(re.findall(r"[^\W_]+", bare)) or None


def name_core(name: str | None) -> str | None:
    """A company's name without accents, signs and words of legal form (`Bäcker & Co. KG` → `backer`)."""
    words = plain_words(re.sub(r"(?<=\w)\.(?=\w)", "", name) if isinstance(name, str) else name)
    if words is None:
        return None
    return " ".join(word for word in words.split() if word not in _LEGAL) or words


def web_of(address: str | None) -> str | None:
    """The domain of a site or e-mail address; None for none, and for those of mail providers."""
    if not isinstance(address, str):
        return None
    domain = re.sub(r"^.*(@|://)", "", address.strip().lower())
    domain = re.sub(r"[/:?#].*$", "", domain).removeprefix("www.")
    return domain if "." in domain and domain not in FREE_MAIL else None


def phone_end(number: str | None) -> str | None:
    """The last digits of a phone number, which all ways of writing it share; None where there are fewer."""
    digits = re.sub(r"\D", "", number) if isinstance(number, str) else ""
    return digits[-_PHONE_DIGITS:] if len(digits) >= _PHONE_DIGITS else None


def all_records(crm: Crm, files: Mapping[str, Path]) -> pd.DataFrame:
    """The CRM's accounts and every system's records, one below the other."""
    return pd.concat(
        [account_records(crm), *(read_records(name, path) for name, path in files.items())], ignore_index=True
    )
