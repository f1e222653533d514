"""The words of the demo language: parallel English, German and Spanish slot values.

A slot value is an `Entry`: one `Word` per language. A `Word` is a base form plus named
forms, so that a template can write ``{object}``, ``{object.plural}`` or
``{object.accusative}``.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Word:
    """One word of one language with its inflected forms.

    Attributes:
        base: The form that a bare ``{slot}`` inserts.
        forms: Further forms by name, reached as ``{slot.name}``.
    """

    base: str
    forms: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.base

    def __getattr__(self, name: str) -> str:
        try:
            return str(self.__dict__["forms"][name])
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True)
class Entry:
    """A slot value in all three languages."""

    en: Word
    de: Word
    es: Word


def _accusative(german: str) -> str:
    if german.startswith("der "):
        return "den " + german[4:]
    if german.startswith("mein "):
        return "meinen " + german[5:]
    return german


def _plain(rows: str) -> tuple[Entry, ...]:
    """Parses ``english/german/spanish`` rows; a single word stands for all three."""
    entries = []
    for row in rows.split(";"):
        parts = [part.strip() for part in row.split("/")]
        english, german, spanish = parts if len(parts) == 3 else parts * 3
        entries.append(
            Entry(
                Word(english),
                Word(german, {"accusative": _accusative(german)}),
                Word(spanish, {"gender": "f" if spanish.startswith("la ") else "m"}),
            )
        )
    return tuple(entries)


def _with_forms(rows: str, *names: str) -> tuple[Entry, ...]:
    """Parses rows that carry one further form, given for each language after a comma."""
    entries = []
    for row in rows.split(";"):
        words = []
        for part in row.split("/"):
            base, *forms = [form.strip() for form in part.split(",")]
            named = dict(zip(names, forms, strict=False))
            named["accusative"] = _accusative(base)
            named["gender"] = "f" if base.startswith("la ") else "m"
            words.append(Word(base, named))
        entries.append(Entry(*words))
    return tuple(entries)


DAYS = _plain(
    "Monday/Montag/lunes; Tuesday/Dienstag/martes; Wednesday/Mittwoch/miércoles;"
    "Thursday/Donnerstag/jueves; Friday/Freitag/viernes; Saturday/Samstag/sábado;"
    "Sunday/Sonntag/domingo"
)
NUMBERS = _plain(
    "two/zwei/dos; three/drei/tres; four/vier/cuatro; five/fünf/cinco; six/sechs/seis;"
    "seven/sieben/siete; eight/acht/ocho; nine/neun/nueve; ten/zehn/diez; eleven/elf/once;"
    "twelve/zwölf/doce; thirteen/dreizehn/trece; fourteen/vierzehn/catorce;"
    "fifteen/fünfzehn/quince; sixteen/sechzehn/dieciséis; eighteen/achtzehn/dieciocho;"
    "twenty/zwanzig/veinte; thirty/dreißig/treinta; forty/vierzig/cuarenta;"
    "fifty/fünfzig/cincuenta; sixty/sechzig/sesenta; eighty/achtzig/ochenta;"
    "ninety/neunzig/noventa"
)
SMALL_NUMBERS = NUMBERS[:11]
DIGITS = _plain("zero/null/cero; one/eins/uno") + NUMBERS[:8]
CITIES = _plain(
    "Berlin/Berlin/Berlín; Madrid; London/London/Londres; Paris/Paris/París; Rome/Rom/Roma;"
    "Vienna/Wien/Viena; Lisbon/Lissabon/Lisboa; Hamburg/Hamburg/Hamburgo; Boston; Chicago;"
    "Dublin/Dublin/Dublín; Brussels/Brüssel/Bruselas"
)
NAMES = _plain(
    "Anna; Peter; Maria/Maria/María; David; Laura; Simon/Simon/Simón; Julia;"
    "Martin/Martin/Martín; Robert/Robert/Roberto; Helen/Helene/Elena"
)
OBJECTS = _with_forms(
    "box, boxes/die Kiste, Kisten/la caja, cajas; car, cars/das Auto, Autos/el coche, coches;"
    "bag, bags/die Tasche, Taschen/la bolsa, bolsas;"
    "letter, letters/der Brief, Briefe/la carta, cartas;"
    "book, books/das Buch, Bücher/el libro, libros;"
    "package, packages/das Paket, Pakete/el paquete, paquetes;"
    "bottle, bottles/die Flasche, Flaschen/la botella, botellas;"
    "key, keys/der Schlüssel, Schlüssel/la llave, llaves;"
    "bicycle, bicycles/das Fahrrad, Fahrräder/la bicicleta, bicicletas;"
    "lamp, lamps/die Lampe, Lampen/la lámpara, lámparas;"
    "shirt, shirts/das Hemd, Hemden/la camisa, camisas;"
    "phone, phones/das Telefon, Telefone/el teléfono, teléfonos;"
    "hat, hats/der Hut, Hüte/el sombrero, sombreros;"
    "chair, chairs/der Stuhl, Stühle/la silla, sillas",
    "plural",
)
COLOURS = _with_forms(
    "red/rot/rojo, roja; blue/blau/azul, azul; green/grün/verde, verde;"
    "yellow/gelb/amarillo, amarilla; black/schwarz/negro, negra; white/weiß/blanco, blanca;"
    "brown/braun/marrón, marrón; old/alt/viejo, vieja; new/neu/nuevo, nueva;"
    "heavy/schwer/pesado, pesada; small/klein/pequeño, pequeña",
    "feminine",
)
VEHICLES = _plain(
    "train/der Zug/el tren; bus/der Bus/el autobús; ship/das Schiff/el barco;truck/der Lastwagen/el camión"
)
FOODS = _plain(
    "apples/Äpfel/manzanas; eggs/Eier/huevos; oranges/Orangen/naranjas;"
    "potatoes/Kartoffeln/patatas; tomatoes/Tomaten/tomates; lemons/Zitronen/limones;"
    "cakes/Kuchen/pasteles; carrots/Karotten/zanahorias"
)
ROOMS = _with_forms(
    "kitchen/in der Küche, die Küche/la cocina; office/im Büro, das Büro/la oficina;"
    "garden/im Garten, der Garten/el jardín; warehouse/im Lager, das Lager/el almacén;"
    "library/in der Bibliothek, die Bibliothek/la biblioteca;"
    "workshop/in der Werkstatt, die Werkstatt/el taller;"
    "garage/in der Garage, die Garage/el garaje",
    "nominative",
)
WEATHERS = _plain("cold/kalt/frío; warm/warm/calor; windy/windig/viento; sunny/sonnig/sol")
FAMILY = _plain(
    "brother/mein Bruder/hermano; sister/meine Schwester/hermana; mother/meine Mutter/madre;"
    "father/mein Vater/padre; uncle/mein Onkel/tío; aunt/meine Tante/tía;"
    "daughter/meine Tochter/hija; son/mein Sohn/hijo"
)
OPENABLES = _plain(
    "door/die Tür/la puerta; window/das Fenster/la ventana; box/die Kiste/la caja;"
    "bag/die Tasche/la bolsa; book/das Buch/el libro"
)
UNITS = _plain(
    "minutes/Minuten/minutos; hours/Stunden/horas; days/Tagen/días; weeks/Wochen/semanas;months/Monaten/meses"
)
LANDMARKS = _with_forms(
    "bridge/an der Brücke, die Brücke/el puente; church/an der Kirche, die Kirche/la iglesia;"
    "station/am Bahnhof, der Bahnhof/la estación; school/an der Schule, die Schule/la escuela;"
    "hospital/am Krankenhaus, das Krankenhaus/el hospital;"
    "market/am Markt, der Markt/el mercado",
    "nominative",
)
SIDES = _plain("left/links/izquierda; right/rechts/derecha")
GREETINGS = _plain(
    "Good morning/Guten Morgen/Buenos días; Good afternoon/Guten Tag/Buenas tardes;"
    "Good evening/Guten Abend/Buenas noches"
)
DRINKS = _plain("coffee/Kaffee/café; tea/Tee/té; water/Wasser/agua; milk/Milch/leche; juice/Saft/zumo")
FREQUENCIES = _plain(
    "every morning/jeden Morgen/cada mañana; every evening/jeden Abend/cada noche;every day/jeden Tag/cada día"
)
ANIMALS = _plain(
    "dog/der Hund/el perro; cat/die Katze/el gato; bird/der Vogel/el pájaro;"
    "horse/das Pferd/el caballo; rabbit/das Kaninchen/el conejo"
)
PLACES = _plain("table/dem Tisch/la mesa; bed/dem Bett/la cama; tree/dem Baum/el árbol;bench/der Bank/el banco")
ORDINALS = _plain("first/ersten/primer; third/dritten/tercer; fifth/fünften/quinto")


def _clock_times() -> tuple[Entry, ...]:
    one = Entry(Word("one"), Word("ein"), Word("una"))
    times = []
    for half_past in (False, True):
        for hour in (one, *SMALL_NUMBERS):
            article, verb = ("la", "Es") if hour is one else ("las", "Son")
            english = f"{hour.en} thirty" if half_past else f"{hour.en} o'clock"
            german = f"{hour.de} Uhr dreißig" if half_past else f"{hour.de} Uhr"
            spanish = f"{article} {hour.es}" + (" y media" if half_past else "")
            times.append(Entry(Word(english), Word(german), Word(spanish, {"sentence": f"{verb} {spanish}"})))
    return tuple(times)


CLOCK_TIMES = _clock_times()

SLOTS: dict[str, tuple[Entry, ...]] = {
    "day": DAYS,
    "number": NUMBERS,
    "count": SMALL_NUMBERS,
    "digit": DIGITS,
    "city": CITIES,
    "name": NAMES,
    "object": OBJECTS,
    "colour": COLOURS,
    "vehicle": VEHICLES,
    "food": FOODS,
    "room": ROOMS,
    "weather": WEATHERS,
    "family": FAMILY,
    "openable": OPENABLES,
    "unit": UNITS,
    "landmark": LANDMARKS,
    "side": SIDES,
    "greeting": GREETINGS,
    "drink": DRINKS,
    "frequency": FREQUENCIES,
    "animal": ANIMALS,
    "place": PLACES,
    "ordinal": ORDINALS,
    "time": CLOCK_TIMES,
}
