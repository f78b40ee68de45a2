"""Errors of the operating system in one sentence: which path, what is wrong with it, and what to do."""

import errno

_KEPT = "what was saved is kept, and the same command continues from there"
_SENTENCES = {
    errno.ENOSPC: f"no space left, expected some; make room, also in /dev/shm, which processes share; {_KEPT}",
    errno.EDQUOT: f"your quota is used up, expected room for more; remove something, or ask for more; {_KEPT}",
    errno.EFBIG: f"the file would be larger than this system or its limits allow; raise `ulimit -f`; {_KEPT}",
    errno.EACCES: "got no permission, expected that you may read and write it; ask its owner, or set EVOR_HOME",
    errno.EPERM: "got no permission, expected that you may read and write it; ask its owner, or set EVOR_HOME",
    errno.EROFS: "is on a read-only disk, expected one that can be written to; set EVOR_HOME to another folder",
    errno.EMFILE: f"too many open files, expected a higher limit; raise `ulimit -n`; {_KEPT}",
    errno.ENFILE: f"too many open files on this machine, expected fewer; close some programs; {_KEPT}",
    errno.ENOENT: "is not there, expected a file or a folder; it may have been removed: run the command again",
    errno.ENOTDIR: "lies in something that is no folder, expected folders all the way; choose another path",
    errno.EISDIR: "is a folder, expected a file; choose another path",
    errno.ENAMETOOLONG: "is too long a path for this system, expected a shorter one; choose another folder",
    errno.EIO: "the disk failed to read or write it; look at the system's log; what it holds may be whole",
    errno.ENOMEM: f"no memory left, expected more; close other programs, or use fewer workers; {_KEPT}",
    errno.EAGAIN: f"no new process or thread could be started; raise `ulimit -u`, or use fewer workers; {_KEPT}",
}


def sentence(error: OSError) -> str:
    """What an error of the system means, and what to do."""
    said = _SENTENCES.get(error.errno or 0)
    if said is None:
        return str(error)
    return f"{error.filename or 'the system'}: {said}"
