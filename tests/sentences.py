"""What the sentence must be like that a user reads where something cannot be done."""

import re


def is_one_sentence(message: str) -> bool:
    shortened = re.sub(r"/\S*/", "", message)  # where the tests keep their files is no fault of the sentence
    return message.endswith(".") and "\n" not in message and len(shortened) < 250
