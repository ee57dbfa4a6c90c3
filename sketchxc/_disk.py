"""Reading lines in blocks, compressed files by their names, and replacing a file as a whole or not at all."""
import contextlib
import os
import secrets
import stat
import zlib

BOM = b"\xef\xbb\xbf"


@contextlib.contextmanager
def replacing(path):
    """Give the body the name of a temporary file in the folder of `path`; what the body wrote there becomes `path` at the end.

    The body opens, writes and closes that file; a library may also put another file in its place. It is forced to the disk before it
    takes the place of `path` (a crash must not leave an empty file under the final name) and is deleted if anything fails. The mode of an
    old file stays, a new one gets the usual mode, whatever the library chose. A symbolic link is followed, not replaced.
    """
    target = os.path.realpath(os.fspath(path))
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "xb") as file:
            mode = stat.S_IMODE(os.stat(target if os.path.exists(target) else file.fileno()).st_mode)
        yield temporary
        os.chmod(temporary, mode)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def wrong(path, line, found, expected):
    """The error for a line of a data file."""
    return ValueError(f"{os.fspath(path)}:{line}: found {found}, expected {expected}")


def compressed(raw, path, mode):
    """The file object `raw`, or one that (de)compresses on the way if the name of the file says so."""
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix == ".xz":
        import lzma
        return lzma.LZMAFile(raw, mode)
    if suffix == ".gz":
        import gzip
        return gzip.GzipFile("", mode, fileobj=raw, mtime=0)  # no name and no time: equal data, equal bytes
    if suffix == ".bz2":
        import bz2
        return bz2.BZ2File(raw, mode)
    return raw


def chunks(path, chunk_size):
    """Generator of blocks of whole lines, each ending with a newline, without byte order mark; a block holds about `chunk_size` bytes."""
    import lzma
    held = []
    start = True
    with open(path, "rb") as raw, compressed(raw, path, "rb") as file:
        more = True
        while more:
            try:
                block = file.read(chunk_size)
            except (lzma.LZMAError, zlib.error, EOFError, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                raise ValueError(f"{os.fspath(path)}: damaged compressed file ({error})") from None
            more = bool(block)
            cut = block.rfind(b"\n") + 1
            held.append(block[:cut] if more else b"\n")
            if cut or (not more and any(held[:-1])):
                yield b"".join(held).removeprefix(BOM if start else b"")
                start = False
                held = []
            held.append(block[cut:])
