"""A small copy of the original archive's layout: 24 reviews per part, three to a film."""

import io
import tarfile

FILES = {"aclImdb/README": b"hello", "aclImdb/train/unsup/0_0.txt": b"not valid UTF-8 \xff"}
for part in ("train", "test"):
    for label, stars in (("neg", 2), ("pos", 9)):
        for number in range(12):
            text = f"{part} {label} {number}<br />"
            FILES[f"aclImdb/{part}/{label}/{number}_{stars}.txt"] = text.encode()
        urls = [f"http://www.imdb.com/title/tt{part}{number // 3}/usercomments" for number in range(12)]
        FILES[f"aclImdb/{part}/urls_{label}.txt"] = (
            "\n".join(urls).replace("train", "1").replace("test", "2").encode()
        )


def pack(path, files, members=()):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in reversed(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in members:
            tar.addfile(member)
    return path


def unpack(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path
