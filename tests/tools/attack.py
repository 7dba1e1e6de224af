"""What an unprivileged user may try against a recorder: `attack.py NAME SECONDS [ARGUMENT…]`.

Each attack goes on until it is killed, or for that time, and prints `ready` once it is under way.
"""

import ctypes
import fcntl
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

END = 0.0


def going():
    return time.monotonic() < END


def ready():
    print("ready", flush=True)


def files(most):
    """As many descriptors as this user may have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(hard - 64, most)


def hold_all(processes, each):
    """Runs `each` in processes, all of which have done that before the attack is under way."""
    done, said = os.pipe()
    children = []
    for i in range(processes):
        child = os.fork()
        if child == 0:
            kept = each(i)
            os.write(said, b".")
            while going():
                time.sleep(0.05)
            os._exit(0 if kept is not None else 1)
        children.append(child)
    for _ in children:
        os.read(done, 1)
    ready()
    while going():
        time.sleep(0.05)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def sockets(count):
    """Idle UDP sockets that have named a destination: each bound to an address of its own."""
    each = files(20_000)

    def fill(process):
        kept = []
        for i in range(min(each, int(count) - process * each)):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((f"127.{1 + process}.{i >> 8}.{i & 255}", 1024))
            s.connect(("127.0.0.1", 9))
            kept.append(s)
        return kept

    hold_all(-(-int(count) // each), fill)


def destinations(target):
    """One socket that sends to as many destinations as it can."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    prefix = target.rsplit(".", 2)[0]
    ready()
    while going():
        for _ in range(1000):
            try:
                s.sendto(b"x", (f"{prefix}.1.{random.randrange(256)}", 1 + random.randrange(60_000)))
            except OSError:
                pass
        time.sleep(0.1)


def name_of(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def answer(query, addresses):
    """To an A query, with these addresses."""
    end = query.index(b"\0", 12) + 5
    records = b"".join(
        b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(a) for a in addresses
    )
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(addresses), 0, 0) + query[12:end] + records


def query(name):
    return struct.pack("!HHHHHH", random.randrange(65_536), 0x100, 1, 0, 0, 0) + name_of(name) + b"\0\1\0\1"


def serve(addresses):
    """A name server of one's own, on a port that counts as DNS."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 5355))

    def loop():
        while True:
            message, peer = server.recvfrom(65_536)
            server.sendto(answer(message, addresses()), peer)

    threading.Thread(target=loop, daemon=True).start()


def ask(asker, name):
    asker.send(query(name))
    try:
        asker.recv(65_536)
    except OSError:
        pass


def asking():
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.connect(("127.0.0.1", 5355))
    asker.settimeout(0.5)
    return asker


def amplify(_):
    """Answers with thousands of addresses."""
    serve(lambda: [f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}" for i in range(3_900)])
    asker = asking()
    ready()
    while going():
        ask(asker, f"n{random.randrange(1 << 30)}.flood.test")
        time.sleep(0.01)


def names(target):
    """Names for the victim's destinations, and so many more that its own are pushed out."""
    prefix = target.rsplit(".", 2)[0]
    victims = [target] + [f"{prefix}.1.{i}" for i in range(1, 255)]
    serve(lambda: victims + [f"10.200.{random.randrange(256)}.{random.randrange(256)}" for _ in range(700)])
    asker = asking()
    ready()
    while going():
        ask(asker, f"evil{random.randrange(1 << 30)}.test")
        time.sleep(0.01)


def forge(target):
    """Answers that no query asked for, to ports that the victim may use."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("0.0.0.0", 5355))
    prefix = target.rsplit(".", 2)[0]
    own = f"{prefix}.0.1"
    ready()
    while going():
        message = answer(query("evil.test"), [target, f"{prefix}.1.9"])
        for port in range(32_768, 60_999, 7):
            try:
                s.sendto(message, (own, port))
            except OSError:
                pass


def cgroups(directory):
    """cgroups made and removed, some with the name of a container."""
    ready()
    while going():
        made = []
        for i in range(50):
            container = "".join(random.choice("0123456789abcdef") for _ in range(64))
            path = f"{directory}/docker-{container}.scope" if i % 2 else f"{directory}/g{i}"
            try:
                os.mkdir(path)
                made.append(path)
            except OSError:
                pass
        for path in made:
            os.rmdir(path)


def execs(_):
    """Programs with large arguments."""
    large = ["/bin/true"] + ["x" * 100_000] * 10
    ready()
    while going():
        running = [subprocess.Popen(large) for _ in range(8)]
        for program in running:
            program.wait()


HOSTS = r"""
mount -t tmpfs t /etc || exit 1
case $1 in
0) mkfifo /etc/hosts ;;
1) ln -s /proc/kmsg /etc/hosts ;;
2) ln -s /dev/zero /etc/hosts ;;
3) head -c 20000000 /dev/zero | tr '\0' 'x' >/etc/hosts ;;
4) mkdir /etc/hosts ;;
5) ln -s /etc/shadow /etc/hosts ;;
esac
/usr/bin/python3 -c 'import socket; s = socket.socket(); s.setblocking(0); s.connect_ex(("127.0.0.1", 9))'
sleep 0.2
"""


def hosts(_):
    """Mount namespaces of one's own, with an /etc/hosts that is none."""
    ready()
    i = 0
    while going():
        running = []
        for _ in range(4):
            running.append(subprocess.Popen(["unshare", "-Urm", "sh", "-c", HOSTS, "sh", str(i % 6)]))
            i += 1
        for program in running:
            program.wait()


FUSE = r"""
import ctypes, os, signal, socket, struct, sys, threading, time

def mount(source, target, kind, options, flags=0):
    args = [text.encode() for text in (source, target, kind, options)]
    if ctypes.CDLL(None, use_errno=True).mount(*args[:3], flags, args[3]):
        raise OSError(ctypes.get_errno(), kind)

mount("t", "/mnt", "tmpfs", "")
for name in "fuse", "up", "work":
    os.mkdir("/mnt/" + name)
fd = os.open(sys.argv[1], os.O_RDWR)
mount("f", "/mnt/fuse", "fuse", f"fd={fd},rootmode=40000,user_id=0,group_id=0")

def serve():
    # include/uapi/linux/fuse.h: a directory in which a look-up of "hosts" is never answered
    while True:
        request = os.read(fd, 1 << 20)
        operation, unique = struct.unpack_from("<IQ", request, 4)
        error, reply = 0, b""
        if operation == 26:  # INIT
            reply = struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 12, 10, 65536, 1, 0, 0, 0, *[0] * 7)
        elif operation == 3:  # GETATTR
            reply = struct.pack("<QII", 1, 0, 0) + struct.pack("<6Q10I", 1, *[0] * 8, 0o40755, 2, 0, 0, 0, 4096, 0)
        elif operation == 17:  # STATFS
            reply = struct.pack("<5Q10I", 1, 1, 1, 1, 1, 512, 255, 512, *[0] * 7)
        elif operation == 1:  # LOOKUP
            if request[40:].startswith(b"hosts\0"):
                continue
            error = 2
        elif operation in (2, 36, 42):  # FORGET, INTERRUPT, BATCH_FORGET
            continue
        elif operation != 34:  # ACCESS
            error = 38
        os.write(fd, struct.pack("<IiQ", 16 + len(reply), -error, unique) + reply)

threading.Thread(target=serve, daemon=True).start()
try:
    if sys.argv[2] == "1":
        raise OSError
    mount("o", "/etc", "overlay", "lowerdir=/mnt/fuse,upperdir=/mnt/up,workdir=/mnt/work,userxattr")
except OSError:  # or a user may not, before 5.11
    mount("/mnt/fuse", "/etc", "", "", 4096)  # MS_BIND
print("mounted", flush=True)
while True:
    with socket.socket() as s:
        s.connect_ex(("127.0.0.1", 9))
    time.sleep(0.05)
"""


def fuse(device):
    """Mount namespaces whose /etc/hosts never answers: below an overlay, or itself."""
    running = []
    for i in range(8):
        args = ["unshare", "-Urm", sys.executable, "-c", FUSE, device, str(i % 2)]
        running.append(subprocess.Popen(args, stdout=subprocess.PIPE, text=True))
    for program in running:
        assert program.stdout.readline() == "mounted\n"
    ready()
    while going():
        time.sleep(0.05)


def reader(db):
    """A reader, by its group, that keeps the writer from its lock for longer than SQLite waits."""
    ready()
    while going():
        lock = open(db, "rb")
        shm = open(db + "-shm", "rb")
        for file, get in [(lock, lambda: fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)),
                          (shm, lambda: fcntl.lockf(shm, fcntl.LOCK_SH | fcntl.LOCK_NB, 8, 120))]:
            try:
                get()
            except OSError:
                pass
        time.sleep(7)
        lock.close()
        shm.close()
        time.sleep(1)


def descriptors(count):
    """Descriptors in many processes, all of one socket."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("127.0.0.1", 9))
    kept = [os.dup(s.fileno()) for _ in range(files(20_000) - 100)]
    hold_all(-(-int(count) // len(kept)), lambda _: kept)


def unshare():
    """A user, a network and a mount namespace, and an attempt in them."""
    # CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWNS: include/uapi/linux/sched.h
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000 | 0x40000000 | 0x00020000):
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket() as s:
        s.connect_ex(("127.0.0.1", 9))


def churn():
    """Namespaces that come and go."""
    while going():
        child = os.fork()
        if child == 0:
            unshare()
            os._exit(0)
        os.waitpid(child, 0)


def namespaces(count):
    """More network namespaces than are looked at when a recorder starts, and then ever more."""
    for _ in range(2):
        if os.fork() == 0:
            churn()
            os._exit(0)
    hold_all(int(count), lambda _: unshare() or True)


def refused(_):
    """Some thousand connections a second."""
    ready()
    while going():
        for _ in range(100):
            with socket.socket() as s:
                s.connect_ex(("127.0.0.1", 9))
        time.sleep(0.05)


def dials(_):
    """As many connections as two processes can make, to many destinations."""
    if os.fork() != 0:
        ready()
    while going():
        for i in range(1000):
            with socket.socket() as s:
                s.connect_ex((f"127.1.{i >> 8}.{i & 255}", 9))


def quiet(_):
    """Nothing, to compare with."""
    ready()
    while going():
        time.sleep(0.05)


if __name__ == "__main__":
    END = time.monotonic() + float(sys.argv[2])
    globals()[sys.argv[1]](*(sys.argv[3:] or [""]))
