"""The closed grammar of the demo model: parallel English, German and Spanish sentences.

Every sentence comes from a `Template`, whose three patterns share their slots. The *core*
templates are the domain that the checkpoint promises; the *extension* templates put the same
slot values into other contexts, so that a word is learned as a word and not as a part of
the one sentence it occurs in.
"""

from __future__ import annotations

import random
import string
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from .vocabulary import SLOTS, Entry

LANGUAGES = ("en", "de", "es")
HELD_OUT_MODULUS = 12
# Stands for the template of an utterance that comes from none.
SCRAMBLED_TEMPLATE = -1
# Number words that sound alike are drawn this many times as often as the others.
CONFUSABLE_WEIGHT = 2
_CONFUSABLE_NUMBERS = (
    "four fourteen forty three thirteen thirty five fifteen fifty six sixteen sixty eight eighteen eighty nine ninety"
)
CONFUSABLE_NUMBERS = frozenset(_CONFUSABLE_NUMBERS.split())

CORE_PATTERNS = """
The {object} is {colour}. | {object} ist {colour}. | {object} es {colour}.
The {vehicle} to {city} leaves at {time}. | {vehicle} nach {city} fährt um {time} ab. | {vehicle} a {city} sale a {time}.
The meeting starts on {day} at {time}. | Die Besprechung beginnt am {day} um {time}. | La reunión empieza el {day} a {time}.
{name} needs {number} {object.plural}. | {name} braucht {number} {object.plural}. | {name} necesita {number} {object.plural}.
We have {number} {object.plural} in {city}. | Wir haben {number} {object.plural} in {city}. | Tenemos {number} {object.plural} en {city}.
Tomorrow it will be {weather} in {city}. | Morgen wird es in {city} {weather}. | Mañana hará {weather} en {city}.
Please call {name} on {day}. | Bitte rufen Sie {name} am {day} an. | Por favor llame a {name} el {day}.
Where is the {object}? | Wo ist {object}? | ¿Dónde está {object}?
{name} travels from {city} to {city2}. | {name} reist von {city} nach {city2}. | {name} viaja de {city} a {city2}.
The temperature in {city} is {number} degrees. | Die Temperatur in {city} beträgt {number} Grad. | La temperatura en {city} es de {number} grados.
The {object} costs {number} euros. | {object} kostet {number} Euro. | {object} cuesta {number} euros.
I would like {count} {food} and {count2} {food2}. | Ich möchte {count} {food} und {count2} {food2}. | Quisiera {count} {food} y {count2} {food2}.
{name} and {name2} are working in the {room}. | {name} und {name2} arbeiten {room}. | {name} y {name2} trabajan en {room}.
The {object} is in the {room}. | {object} ist {room}. | {object} está en {room}.
Today is {day}. | Heute ist {day}. | Hoy es {day}.
My {family} lives in {city}. | {family} wohnt in {city}. | Mi {family} vive en {city}.
Please open the {openable}. | Bitte öffnen Sie {openable}. | Por favor abra {openable}.
Please close the {openable}. | Bitte schließen Sie {openable}. | Por favor cierre {openable}.
The delivery arrives in {number} {unit}. | Die Lieferung kommt in {number} {unit} an. | La entrega llega en {number} {unit}.
Order number {digit} {digit2} {digit3} is ready. | Bestellung Nummer {digit} {digit2} {digit3} ist fertig. | El pedido número {digit} {digit2} {digit3} está listo.
It is raining in {city}. | Es regnet in {city}. | Llueve en {city}.
It is snowing in {city}. | Es schneit in {city}. | Nieva en {city}.
Turn {side} at the {landmark}. | Biegen Sie {landmark} {side} ab. | Gire a la {side} en {landmark}.
{greeting}, my name is {name}. | {greeting}, mein Name ist {name}. | {greeting}, me llamo {name}.
{name} drinks {drink} {frequency}. | {name} trinkt {frequency} {drink}. | {name} bebe {drink} {frequency}.
The {animal} sleeps under the {place}. | {animal} schläft unter {place}. | {animal} duerme debajo de {place}.
Thank you, see you on {day}. | Vielen Dank, bis {day}. | Muchas gracias, hasta el {day}.
{name} is looking for the {object} in the {room}. | {name} sucht {object.accusative} {room}. | {name} busca {object} en {room}.
"""  # noqa: E501

EXTENSION_PATTERNS = """
Tomorrow is {day}. | Morgen ist {day}. | Mañana es {day}.
Yesterday was {day}. | Gestern war {day}. | Ayer fue {day}.
Today is {day} and tomorrow is {day2}. | Heute ist {day} und morgen ist {day2}. | Hoy es {day} y mañana es {day2}.
On {day} {name} travels to {city}. | Am {day} reist {name} nach {city}. | El {day} {name} viaja a {city}.
On {day} at {time}. | Am {day} um {time}. | El {day} a {time}.
See you on {day}. | Bis {day}. | Hasta el {day}.
Thank you, {name}. | Vielen Dank, {name}. | Muchas gracias, {name}.
Thank you, {name}, see you on {day}. | Vielen Dank, {name}, bis {day}. | Muchas gracias, {name}, hasta el {day}.
{greeting}, {name}. | {greeting}, {name}. | {greeting}, {name}.
{greeting}, today is {day}. | {greeting}, heute ist {day}. | {greeting}, hoy es {day}.
{greeting} and thank you, {name}. | {greeting} und vielen Dank, {name}. | {greeting} y muchas gracias, {name}.
{greeting}, where is the {landmark}? | {greeting}, wo ist {landmark.nominative}? | {greeting}, ¿dónde está {landmark}?
My name is {name}. | Mein Name ist {name}. | Me llamo {name}.
Where are the {object} and the {object2}? | Wo sind {object} und {object2}? | ¿Dónde están {object} y {object2}?
Where is the {animal}? | Wo ist {animal}? | ¿Dónde está {animal}?
Where is the {landmark}? | Wo ist {landmark.nominative}? | ¿Dónde está {landmark}?
Where is {name}? | Wo ist {name}? | ¿Dónde está {name}?
Where is the {vehicle} to {city}? | Wo ist {vehicle} nach {city}? | ¿Dónde está {vehicle} a {city}?
{name} opens the {openable}. | {name} öffnet {openable.accusative}. | {name} abre {openable}.
{name} closes the {openable}. | {name} schließt {openable.accusative}. | {name} cierra {openable}.
Please open the {openable} in the {room}. | Bitte öffnen Sie {openable.accusative} {room}. | Por favor abra {openable} en {room}.
Please close the {openable} in the {room}. | Bitte schließen Sie {openable.accusative} {room}. | Por favor cierre {openable} en {room}.
Please close the {openable} and open the {openable2}. | Bitte schließen Sie {openable.accusative} und öffnen Sie {openable2.accusative}. | Por favor cierre {openable} y abra {openable2}.
The {openable} is {colour}. | {openable} ist {colour}. | {openable} es {colour}.
Where is the {openable}? | Wo ist {openable}? | ¿Dónde está {openable}?
It is raining in {city} and in {city2}. | Es regnet in {city} und in {city2}. | Llueve en {city} y en {city2}.
It is snowing in {city} and raining in {city2}. | Es schneit in {city} und regnet in {city2}. | Nieva en {city} y llueve en {city2}.
Today it is raining in {city}. | Heute regnet es in {city}. | Hoy llueve en {city}.
Today it is snowing in {city}. | Heute schneit es in {city}. | Hoy nieva en {city}.
Today it is {weather} in {city}. | Heute ist es in {city} {weather}. | Hoy hace {weather} en {city}.
Turn {side}. | Biegen Sie {side} ab. | Gire a la {side}.
Turn {side} at the {landmark} in {city}. | Biegen Sie in {city} {landmark} {side} ab. | Gire a la {side} en {landmark} de {city}.
The {landmark} is on the {side}. | {landmark.nominative} ist {side}. | {landmark} está a la {side}.
The {landmark} is {colour}. | {landmark.nominative} ist {colour}. | {landmark} es {colour}.
{name} is waiting at the {landmark}. | {name} wartet {landmark}. | {name} espera en {landmark}.
{name} drinks {drink} and {drink2}. | {name} trinkt {drink} und {drink2}. | {name} bebe {drink} y {drink2}.
I would like {drink} and {count} {food}. | Ich möchte {drink} und {count} {food}. | Quisiera {drink} y {count} {food}.
I would like {drink}. | Ich möchte {drink}. | Quisiera {drink}.
My {family} drinks {drink} {frequency}. | {family} trinkt {frequency} {drink}. | Mi {family} bebe {drink} {frequency}.
{name} works in the {room} {frequency}. | {name} arbeitet {frequency} {room}. | {name} trabaja en {room} {frequency}.
The {animal} is under the {place}. | {animal} ist unter {place}. | {animal} está debajo de {place}.
The {object} is under the {place}. | {object} ist unter {place}. | {object} está debajo de {place}.
The {animal} sleeps in the {room}. | {animal} schläft {room}. | {animal} duerme en {room}.
The {animal} and the {animal2} sleep under the {place}. | {animal} und {animal2} schlafen unter {place}. | {animal} y {animal2} duermen debajo de {place}.
{name} sleeps under the {place}. | {name} schläft unter {place}. | {name} duerme debajo de {place}.
{name} is looking for the {animal}. | {name} sucht {animal.accusative}. | {name} busca a {animal}.
{name} is looking for the {object}. | {name} sucht {object.accusative}. | {name} busca {object}.
My {family} is looking for the {animal} in the {room}. | {family} sucht {animal.accusative} {room}. | Mi {family} busca a {animal} en {room}.
The {animal} is {colour}. | {animal} ist {colour}. | {animal} es {colour}.
The {animal} costs {number} euros. | {animal} kostet {number} Euro. | {animal} cuesta {number} euros.
The number is {number}. | Die Nummer ist {number}. | El número es {number}.
{number}, {number2}, {number3}. | {number}, {number2}, {number3}. | {number}, {number2}, {number3}.
{number} {object.plural} and {number2} {object2.plural}. | {number} {object.plural} und {number2} {object2.plural}. | {number} {object.plural} y {number2} {object2.plural}.
The {object} costs {number} euros and the {object2} costs {number2} euros. | {object} kostet {number} Euro und {object2} kostet {number2} Euro. | {object} cuesta {number} euros y {object2} cuesta {number2} euros.
{name} has {number} {object.plural} and {number2} {food}. | {name} hat {number} {object.plural} und {number2} {food}. | {name} tiene {number} {object.plural} y {number2} {food}.
We have {number} {food} in the {room}. | Wir haben {number} {food} {room}. | Tenemos {number} {food} en {room}.
{name} needs {number} {food}. | {name} braucht {number} {food}. | {name} necesita {number} {food}.
In {number} {unit} {name} travels to {city}. | In {number} {unit} reist {name} nach {city}. | En {number} {unit} {name} viaja a {city}.
The {vehicle} leaves in {number} {unit}. | {vehicle} fährt in {number} {unit} ab. | {vehicle} sale en {number} {unit}.
In {city} it is {number} degrees. | In {city} sind es {number} Grad. | En {city} hay {number} grados.
The number is {digit} {digit2} {digit3} {digit4}. | Die Nummer ist {digit} {digit2} {digit3} {digit4}. | El número es {digit} {digit2} {digit3} {digit4}.
Order number {digit} {digit2} {digit3} costs {number} euros. | Bestellung Nummer {digit} {digit2} {digit3} kostet {number} Euro. | El pedido número {digit} {digit2} {digit3} cuesta {number} euros.
Order number {digit} {digit2} {digit3} arrives on {day}. | Bestellung Nummer {digit} {digit2} {digit3} kommt am {day} an. | El pedido número {digit} {digit2} {digit3} llega el {day}.
The delivery arrives on {day} at {time}. | Die Lieferung kommt am {day} um {time} an. | La entrega llega el {day} a {time}.
The delivery is ready. | Die Lieferung ist fertig. | La entrega está lista.
The delivery is in the {room}. | Die Lieferung ist {room}. | La entrega está en {room}.
My {family} and {name} live in {city}. | {family} und {name} wohnen in {city}. | Mi {family} y {name} viven en {city}.
My {family} is in the {room}. | {family} ist {room}. | Mi {family} está en {room}.
My {family} travels from {city} to {city2}. | {family} reist von {city} nach {city2}. | Mi {family} viaja de {city} a {city2}.
My {family} needs {number} {object.plural}. | {family} braucht {number} {object.plural}. | Mi {family} necesita {number} {object.plural}.
Please call my {family} on {day}. | Bitte rufen Sie {family.accusative} am {day} an. | Por favor llame a mi {family} el {day}.
Please call {name} at {time}. | Bitte rufen Sie {name} um {time} an. | Por favor llame a {name} a {time}.
{name} lives in {city}. | {name} wohnt in {city}. | {name} vive en {city}.
{name} is in the {room}. | {name} ist {room}. | {name} está en {room}.
{name} arrives on {day} at {time}. | {name} kommt am {day} um {time} an. | {name} llega el {day} a {time}.
The {vehicle} from {city} arrives at {time}. | {vehicle} aus {city} kommt um {time} an. | {vehicle} de {city} llega a {time}.
The {vehicle} to {city} leaves on {day}. | {vehicle} nach {city} fährt am {day} ab. | {vehicle} a {city} sale el {day}.
The {vehicle} is {colour}. | {vehicle} ist {colour}. | {vehicle} es {colour}.
The meeting is in the {room}. | Die Besprechung ist {room}. | La reunión es en {room}.
The meeting in {city} starts at {time}. | Die Besprechung in {city} beginnt um {time}. | La reunión en {city} empieza a {time}.
The meeting with {name} is on {day}. | Die Besprechung mit {name} ist am {day}. | La reunión con {name} es el {day}.
It is {time}. | Es ist {time}. | {time.sentence}.
The {room} is on the {ordinal} floor. | {room.nominative} ist im {ordinal} Stock. | {room} está en el {ordinal} piso.
The {object} is on the {ordinal} floor. | {object} ist im {ordinal} Stock. | {object} está en el {ordinal} piso.
In {city} it is raining. | In {city} regnet es. | En {city} llueve.
In {city} it is snowing. | In {city} schneit es. | En {city} nieva.
It is raining in {city} on {day}. | Es regnet am {day} in {city}. | Llueve en {city} el {day}.
It is snowing in {city} on {day}. | Es schneit am {day} in {city}. | Nieva en {city} el {day}.
It is snowing and it is {weather} in {city}. | Es schneit und es ist {weather} in {city}. | Nieva y hace {weather} en {city}.
Where is the {animal} and where is the {openable}? | Wo ist {animal} und wo ist {openable}? | ¿Dónde está {animal} y dónde está {openable}?
Where is my {family}? | Wo ist {family}? | ¿Dónde está mi {family}?
Thank you, {name} and {name2}. | Vielen Dank, {name} und {name2}. | Muchas gracias, {name} y {name2}.
Please open the {openable}, {name}. | Bitte öffnen Sie {openable.accusative}, {name}. | Por favor abra {openable}, {name}.
Please close the {openable}, {name}. | Bitte schließen Sie {openable.accusative}, {name}. | Por favor cierre {openable}, {name}.
Today is {day}, {name}. | Heute ist {day}, {name}. | Hoy es {day}, {name}.
The {animal} and {name} are in the {room}. | {animal} und {name} sind {room}. | {animal} y {name} están en {room}.
{name} works on the {ordinal} floor. | {name} arbeitet im {ordinal} Stock. | {name} trabaja en el {ordinal} piso.
"""  # noqa: E501


@dataclass(frozen=True)
class Sentence:
    """One parallel sentence.

    Attributes:
        text: The sentence by language code; one language alone where it is scrambled.
        template: Index of the template that produced it, or ``SCRAMBLED_TEMPLATE``.
    """

    text: dict[str, str]
    template: int

    @property
    def is_scrambled(self) -> bool:
        """Whether it is no sentence of the grammar, and has no translation."""
        return self.template == SCRAMBLED_TEMPLATE

    @property
    def english(self) -> str:
        """The English sentence, which identifies the triple."""
        return self.text["en"]

    @property
    def held_out(self) -> bool:
        """Whether the sentence is reserved for evaluation."""
        return zlib.crc32(self.english.encode()) % HELD_OUT_MODULUS == 0


@dataclass(frozen=True)
class Template:
    """Three parallel patterns over the same slots."""

    patterns: dict[str, str]
    core: bool

    def slot_names(self) -> list[str]:
        """Names of the slots of all three patterns, for instance ``city`` and ``city2``."""
        names: dict[str, None] = {}
        for pattern in self.patterns.values():
            for _, name, _, _ in string.Formatter().parse(pattern):
                if name:
                    names[name.split(".")[0]] = None
        return list(names)

    def fill(self, values: dict[str, Entry], index: int) -> Sentence:
        """Inserts slot values and repairs what German and Spanish spelling asks for."""
        text = {}
        for language, pattern in self.patterns.items():
            words = {name: getattr(entry, language) for name, entry in values.items()}
            if language == "es" and "colour" in words and _subject_gender(values) == "f":
                words["colour"] = words["colour"].feminine
            filled = pattern.format(**words)
            if language == "es":
                filled = filled.replace(" de el ", " del ").replace(" a el ", " al ")
            text[language] = capitalised(filled)
        return Sentence(text, index)


def _subject_gender(values: dict[str, Entry]) -> str:
    for slot in ("object", "openable", "animal", "landmark", "vehicle"):
        if slot in values:
            return values[slot].es.forms["gender"]
    return "m"


def capitalised(text: str) -> str:
    """The text with a capital at its first letter."""
    start = 1 if text[0] in "¿¡" else 0
    return text[:start] + text[start].upper() + text[start + 1 :]


def _parse(patterns: str, core: bool) -> list[Template]:
    templates = []
    for line in patterns.strip().splitlines():
        english, german, spanish = (part.strip() for part in line.split("|"))
        templates.append(Template({"en": english, "de": german, "es": spanish}, core))
    return templates


TEMPLATES = _parse(CORE_PATTERNS, core=True) + _parse(EXTENSION_PATTERNS, core=False)
CORE_TEMPLATES = tuple(index for index, template in enumerate(TEMPLATES) if template.core)


def _weight(entry: Entry) -> int:
    return CONFUSABLE_WEIGHT if entry.en.base in CONFUSABLE_NUMBERS else 1


def _draw(slot: str, taken: list[Entry], rng: random.Random, emphasis: bool) -> Entry:
    kind = slot.rstrip("0123456789")
    # Digits and counts may repeat ("six six two"); two cities or two names may not.
    repeatable = kind in ("digit", "number", "count")
    options = [entry for entry in SLOTS[kind] if repeatable or entry not in taken]
    if emphasis and repeatable:
        return rng.choices(options, weights=[_weight(entry) for entry in options])[0]
    return rng.choice(options)


def sample_sentence(rng: random.Random, *, core_share: float = 0.5, emphasis: bool = False) -> Sentence:
    """Draws a sentence.

    Args:
        rng: Source of randomness.
        core_share: Probability that the sentence comes from a core template.
        emphasis: Draw number words that sound alike more often, as training does.

    Returns:
        The sentence, held out or not.
    """
    extension_start = len(CORE_TEMPLATES)
    if rng.random() < core_share:
        index = rng.randrange(extension_start)
    else:
        index = rng.randrange(extension_start, len(TEMPLATES))
    template = TEMPLATES[index]
    values: dict[str, Entry] = {}
    for slot in template.slot_names():
        values[slot] = _draw(slot, list(values.values()), rng, emphasis)
    return template.fill(values, index)


def sentences(
    rng: random.Random, *, held_out: bool, core_share: float = 0.5, emphasis: bool = False
) -> Iterator[Sentence]:
    """Yields sentences for ever, either only held-out ones or only the others."""
    while True:
        sentence = sample_sentence(rng, core_share=core_share, emphasis=emphasis)
        if sentence.held_out == held_out:
            yield sentence
