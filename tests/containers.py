"""One list of texts in every container that the package takes."""
import numpy as np


def containers(texts):
    """(name, container) of each kind."""
    data = [text.encode() for text in texts]
    lengths = np.array([len(part) for part in data], np.int64)
    yield "list", list(texts)
    yield "tuple", tuple(texts)
    yield "bytes", data
    yield "mixed", [text if i % 2 else part for i, (text, part) in enumerate(zip(texts, data))]
    yield "object", np.array(texts + [None], object)[:-1]
    yield "StringDType", np.array(texts, np.dtypes.StringDType())
    yield "offsets", (np.frombuffer(b"".join(data), np.uint8), np.concatenate([[0], np.cumsum(lengths)]))
    yield "padded offsets", (b"xyz" + b"".join(data) + b"tail", 3 + np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    if not any(text.endswith("\0") for text in texts):  # NumPy's fixed-width strings drop trailing NULs
        yield "U", np.array(texts, np.str_)
        yield "big-endian U", np.array(texts, np.str_).astype(np.array(texts, np.str_).dtype.newbyteorder(">"))
        yield "strided U", np.array([texts, texts], np.str_).T[:, 0] if texts else np.array([], "U3")
        yield "S", np.array(data, np.bytes_)
