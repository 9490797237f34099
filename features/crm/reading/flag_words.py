"""Yes and no, won and lost, in the languages that CRMs are exported in."""

import re
import unicodedata
from collections.abc import Iterable

_YES = """
true t yes y 1 1.0 x on checked enabled ja j oui o si s sim vrai vero verdadero verdadeiro wahr waar tak ano
da evet kylla igen sant sand tosi dogru igaz prawda pravda verdade jes ✓ ✔ ☑ да истина はい 是
"""
_NO = """
false f no n 0 0.0 off unchecked disabled nein non nej nee nao falso faux falsch onwaar nie ne hayir ei nem
falskt falsk epatosi yanlis hamis falsz nepravda nei
✗ ✘ ☐ нет ложь いいえ 否
"""
_AUTOMATIC = """
auto,automatic,automatically,auto renew,auto renewal,auto renewing,
automatisch,automatique,automatico,automatica
"""
_MANUAL = "manual,manually,manuell,manuel,manuelle,manuale,handmatig,no auto renew,no auto renewal"
_WON = """
won,win,closed won,closedwon,successful,success,signed,retained,accepted,
renewed,renew,renewal,auto renewed,downsell,downsold,upsell,upsold,
gewonnen,abgeschlossen gewonnen,geschlossen gewonnen,verlangert,erneuert,
gagne,gagnee,ferme gagne,fermee gagnee,cloture gagne,conclu,renouvele,renouvelee,
ganado,ganada,cerrado ganado,cerrada ganada,renovado,renovada,
ganho,ganha,fechado ganho,fechada e ganha,vinto,vinta,chiuso vinto,rinnovato,rinnovata,
chiusa vinta,fechado e ganho,auftrag erhalten,auftrag gewonnen,
odnowiona,odnowione,przedłuzona,przedłuzone,
verlengd,vunnet,vunnen,vundet,vunden,wygrana,wygrane,выиграна,выиграно,продлен,受注,成約,赢单,成交
"""
_LOST = """
lost,lose,closed lost,closedlost,churn,churned,cancelled,canceled,cancel,cancellation,lapsed,terminated,
expired,abandoned,disqualified,no decision,dead,loss,
not renewed,non renewed,non renewal,no renewal,did not renew,not won,unsuccessful,rejected,declined,
verloren,abgeschlossen verloren,geschlossen verloren,gekundigt,nicht verlangert,nicht erneuert,abgelehnt,
perdu,perdue,ferme perdu,fermee perdue,cloture perdu,resilie,resiliee,non renouvele,non renouvelee,
perdido,perdida,cerrado perdido,cerrada perdida,cancelado,cancelada,no renovado,no renovada,
fechado perdido,fechada e perdida,nao renovado,perso,persa,chiuso perso,disdetto,non rinnovato,
chiusa persa,fechado e perdido,auftrag verloren,nieodnowiona,nieodnowione,nieprzedłuzona,
opgezegd,niet verlengd,tabt,tapt,forlorad,przegrana,przegrane,проиграна,проиграно,失注,输单
"""
_OPEN = """
open,pending,in progress,active,new,draft,on hold,awaiting,upcoming,tbd,to be decided,in review,not started,
negotiation,in negotiation,negotiation review,proposal,proposal price quote,qualified,qualification,discovery,
prospecting,needs analysis,value proposition,perception analysis,verhandlung,in verhandlung,
ongoing,undecided,running,offen,laufend,in bearbeitung,ausstehend,
ouvert,ouverte,en cours,en attente,abierto,abierta,en curso,pendiente,aberto,aberta,em andamento,pendente,
not yet due,not due yet,not due,not yet decided,not decided,proposition,propuesta,proposta,offerte,angebot,
angebot erstellt,offert,offerta,tilbud,oferta,trattativa,negociation,negociacion,negociacao,onderhandeling,
oppen,oppet,aben,aaben,apen,avoin,w toku,商談中,交渉中,谈判中,в процессе,
appointmentscheduled,qualifiedtobuy,presentationscheduled,decisionmakerboughtin,contractsent,
aperto,aperta,in corso,lopend,pagaende,otwarta,открыта,в работе,進行中,进行中
"""


def _listed(text: str) -> frozenset[str]:
    return frozenset(word.strip() for word in text.replace("\n", " ").split(",") if word.strip())


YES, NO = frozenset(_YES.split()), frozenset(_NO.split())
AUTOMATIC, MANUAL = _listed(_AUTOMATIC), _listed(_MANUAL)
WON, LOST, OPEN = _listed(_WON), _listed(_LOST), _listed(_OPEN)
_QUALIFIED = re.compile(r"\s+[-–—/]\s+|[:(]|,\s")
_NUMBERED = re.compile(r"^[\W\d_]+")
"""What numbers a word of a list, or adorns it: `1 - Won`, `🏆 Won`."""
_BECAUSE = re.compile(r"\s(?:to|by|due|because|an|durch|wegen|per|por|par)\s")
"""Behind these stands who or what took it: that changes nothing of what is lost, but of what is won."""


def flag_of(value: str, *, outcome: bool) -> bool | str | None:
    """True, false, `open` (of an outcome), or None for a word that is not known.

    Args:
        value: as written.
        outcome: whether won and lost, renewed and churned are answers too; then a word may be qualified
            (`Renewed - Auto`).
    """
    word = _bare(value)
    if word in YES or word in NO:
        return word in YES
    if not outcome:
        return word in AUTOMATIC if word in AUTOMATIC or word in MANUAL else None
    bare = _NUMBERED.sub("", value)
    for part in (word, _bare(_QUALIFIED.split(value)[0]), _bare(_QUALIFIED.split(bare)[0])):
        if part in WON or part in LOST:
            return part in WON
        if part in OPEN:
            return "open"
    return False if _bare(_BECAUSE.split(bare)[0]) in LOST else None


def flags_of(values: Iterable[str], *, outcome: bool) -> dict[str, bool | str | None]:
    """The same of all values of a column; of -1 and 0 alone, -1 is yes, as Access writes it."""
    listed = list(values)
    if set(listed) <= {"-1", "0"}:
        return {value: value == "-1" for value in listed}
    return {value: flag_of(value, outcome=outcome) for value in listed}


def _bare(value: str) -> str:
    letters = unicodedata.normalize("NFKD", value.strip().lower().replace("ı", "i"))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[-_–—/]+", " ", plain).split()) if re.search(r"[^\W\d]", plain) else plain
