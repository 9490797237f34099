"""Names of months, weekdays and time zones, as exports of CRMs and spreadsheets write them."""

_ENGLISH = """
jan january feb february mar march apr april may jun june jul july aug august sep september
 oct october nov november dec december
"""
ENGLISH = frozenset(_ENGLISH.split())
_MONTHS = (
    "jan january januar jän jänner janv janvier janeiro ene enero gen gennaio januari",
    "feb february februar févr fév février fev fevereiro febrero febbraio februari",
    "mar march mär märz maerz mrz mars março marzo maart mrt",
    "apr april avr avril abr abril aprile",
    "may mai maio mayo mag maggio mei",
    "jun june juni juin junho junio giu giugno",
    "jul july juli juil juillet julho julio lug luglio",
    "aug august août aout ago agosto augustus",
    "sep sept september septembre set setembro septiembre settembre",
    "oct october okt oktober octobre out outubro octubre ott ottobre",
    "nov november novembre novembro noviembre",
    "dec december dez dezember déc décembre dezembro dic diciembre dicembre",
)
MONTHS = {name: number for number, names in enumerate(_MONTHS, 1) for name in names.split()}
_WEEKDAYS = """
mon monday tue tues tuesday wed wednesday thu thur thurs thursday fri friday sat saturday sun sunday
mo montag di dienstag mi mittwoch do donnerstag fr freitag sa samstag so sonntag
lundi mardi mercredi jeudi vendredi samedi dimanche lunes martes miércoles jueves viernes sábado domingo
lunedì martedì mercoledì giovedì venerdì sabato domenica
"""
WEEKDAYS = frozenset(_WEEKDAYS.split())
ZONES = {
    "Z": 0, "UTC": 0, "GMT": 0, "UT": 0, "WET": 0, "WEST": 60, "CET": 60, "CEST": 120, "MEZ": 60, "MESZ": 120,
    "BST": 60, "EET": 120, "EEST": 180, "MSK": 180, "EST": -300, "EDT": -240, "CST": -360, "CDT": -300,
    "MST": -420, "MDT": -360, "PST": -480, "PDT": -420, "AKST": -540, "AKDT": -480, "HST": -600, "JST": 540,
    "KST": 540, "SGT": 480, "HKT": 480, "AEST": 600, "AEDT": 660, "ACST": 570, "AWST": 480, "NZST": 720,
    "NZDT": 780, "BRT": -180,
}  # fmt: skip
"""Minutes east of Greenwich, of the abbreviations that exports use; others are not guessed at."""
