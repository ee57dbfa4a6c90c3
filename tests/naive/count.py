"""Tokens of a text, one character after the other: the specification."""


def words(text):
    out, word = [], ""
    for character in text.lower() + " ":
        if character.isalnum():
            word += character
        elif word:
            out.append(word)
            word = ""
    return out


def lines(text):
    parts = text.split("\n")
    return [line.removesuffix("\r") for line in (parts if parts[-1] else parts[:-1])]


def fields(text, number, separator=None):
    out = []
    for line in lines(text):
        parts = line.split(separator) if separator else [part for part in line.replace("\t", " ").split(" ") if part]
        out += parts[number - 1:number]
    return out
