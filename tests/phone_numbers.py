"""Writes numbers in many spellings with the id that each must get, for the test `phone_numbers` of callgate-core. What is
expected comes from PyPI's port of libphonenumber, and the rules of docs/src/reference/ids.md written down a second time.

    phone_numbers.py FILE
"""

import sys

import phonenumbers as lib
from phonenumbers import PhoneNumberFormat as Format
from phonenumbers import PhoneNumberType as Type
from phonenumbers import ValidationResult as Result

LONG_ENOUGH = {Result.IS_POSSIBLE, Result.IS_POSSIBLE_LOCAL_ONLY, Result.TOO_LONG, Result.INVALID_LENGTH}
FULL_WIDTH = str.maketrans("0123456789+", "０１２３４５６７８９＋")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def expected(number, region):
    """The id of a number without separators. None if it must be refused."""
    digits = len(number.lstrip("+"))
    if digits > 18:
        return None
    try:
        parsed = lib.parse(number, region)
    except lib.NumberParseException as error:
        return None if error.error_type == lib.NumberParseException.TOO_LONG else number
    e164 = lib.format_number(parsed, Format.E164)
    if lib.is_valid_number(parsed):
        return e164
    if number.startswith("+") or digits < 8 or lib.is_possible_number_with_reason(parsed) not in LONG_ENOUGH:
        return number
    return expected(e164, region)


def bare(text):
    """A text of digits, separators and perhaps a plus, as a number without separators."""
    return ("+" if text.startswith("+") else "") + "".join(c for c in text if c.isdigit())


def spellings(number, region):
    """Each text with the number that it is without separators."""
    e164, national = lib.format_number(number, Format.E164), lib.format_number(number, Format.NATIONAL)
    international, significant = lib.format_number(number, Format.INTERNATIONAL), lib.national_significant_number(number)
    abroad = "RU" if region != "RU" else "US"
    country = str(number.country_code)
    plain = [
        e164,
        international,
        national,
        significant,
        country + significant,
        bare(national),
        lib.format_out_of_country_calling_number(number, abroad),
        international.replace(" ", "\u00a0").replace("-", "\u2011"),
        international.replace(" ", ".").replace("-", "/"),
        *(e164 + "9" * added for added in (1, 2, 5)),
        *(bare(national) + "9" * added for added in (1, 2, 5)),
        significant[:-1],
        significant[:4],
    ]
    yield from ((text, bare(text)) for text in plain)
    yield f"+{country} (0) {significant}", e164
    yield f"\u2068{e164}\u2069", e164
    yield e164.translate(FULL_WIDTH), e164
    yield e164.translate(ARABIC), e164
    yield f"tel:{e164}", e164
    yield f'"A" <sip:{e164.replace("+", "%2B")}@carrier.example;user=phone>', e164
    yield f"sip:{bare(national)}@pbx.example", bare(national)


def main(path):
    count, regions = 0, sorted(lib.SUPPORTED_REGIONS)
    with open(path, "w", encoding="utf-8") as out:
        for region in regions:
            for kind in (Type.FIXED_LINE, Type.MOBILE, Type.TOLL_FREE, Type.PREMIUM_RATE, Type.VOIP):
                number = lib.example_number_for_type(region, kind)
                if number is None:
                    continue
                for text, plain in spellings(number, region):
                    print(region, text, expected(plain, region) or "", sep="\t", file=out)
                    count += 1
            for short in ("1001", "112", "116117", "911", "12345", "1234567"):
                print(region, short, expected(short, region), sep="\t", file=out)
                count += 1
    print(f"{count} spellings of numbers in {len(regions)} regions")


main(sys.argv[1])
