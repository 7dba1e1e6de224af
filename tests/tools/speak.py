"""A client for the tests of the policy: does one thing with sockets, and prints its errno.

    speak.py WAY IP PORT

0 is success; a refused connection counts as one, since the packets left.
"""

import errno
import os
import socket
import sys
import time


def family(ip):
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def answered(s):
    """Takes the error that the peer's answer to a datagram leaves."""
    time.sleep(0.1)
    s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def tcp(ip, port):
    socket.socket(family(ip)).connect((ip, port))


def fastopen(ip, port):
    socket.socket(family(ip)).sendto(b"x", socket.MSG_FASTOPEN, (ip, port))


def again(ip, port):
    """Of a socket that was connected to a destination that is allowed."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((ALLOWED, 9))
    s.send(b"x")
    answered(s)
    s.connect((ip, port))
    s.send(b"x")


def udp(ip, port):
    socket.socket(family(ip), socket.SOCK_DGRAM).sendto(b"x", (ip, port))


def udp_connected(ip, port):
    s = socket.socket(family(ip), socket.SOCK_DGRAM)
    s.connect((ip, port))
    s.send(b"x")


def udp_more(ip, port):
    s = socket.socket(family(ip), socket.SOCK_DGRAM)
    s.sendto(b"x", socket.MSG_MORE, (ip, port))
    s.send(b"y")


def raw(ip, port):
    socket.socket(family(ip), socket.SOCK_RAW, 253).sendto(b"x" * 16, (ip, 0))


def header(ip, port):
    """UDP with a header of its own."""
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    udp = (9).to_bytes(2, "big") + port.to_bytes(2, "big") + (9).to_bytes(2, "big") + b"\0\0x"
    packet = bytes([0x45, 0, 0, 20 + len(udp), 0, 0, 0, 0, 64, 17, 0, 0])
    packet += socket.inet_aton("0.0.0.0") + socket.inet_aton(ip) + udp
    s.sendto(packet, (ip, 0))


def ping(ip, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    s.sendto(b"\x08\0\xf7\xff\0\0\0\0", (ip, 0))


def route(ip, port):
    """TCP to an allowed address, by way of another one (LSRR)."""
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x83\x07\x04" + socket.inet_aton(ip) + b"\x01")
    s.settimeout(1)
    s.connect((ALLOWED, port))


def passed(ip, port):
    """Connected by this process, used by a user whom a rule is about."""
    s = socket.socket(family(ip), socket.SOCK_DGRAM)
    s.connect((ip, port))
    s.send(b"x")
    answered(s)
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        os._exit(done(lambda: s.send(b"y")))
    raise OSError(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "")


def done(do):
    try:
        do()
        return 0
    except ConnectionRefusedError:
        return 0
    except OSError as e:
        return e.errno or 255


way, ip, port = sys.argv[1:4]
ALLOWED = sys.argv[4] if len(sys.argv) > 4 else "127.0.0.1"
number = done(lambda: globals()[way](ip, int(port)))
print(errno.errorcode.get(number, number))
