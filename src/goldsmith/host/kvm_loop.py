"""Run a loop in a real KVM guest and time it; meant to be run as a program, in a process that may die.

It imports nothing of ours, prints one JSON object on standard output and ends within half a second.
Follows the KVM API (Documentation/virt/kvm/api.rst) and, for the guest's state, the Intel SDM
volume 3, sections 3.4.5 (segments) and 4.5 (4-level paging).
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import signal
import struct
import sys
import time

_LIMIT_SECONDS = 0.25
_LOOPS = 300_000
# Hardware runs thousands of millions of instructions a second; the emulators that pose as KVM less than one.
_MIPS_MIN = 50.0

_GET_API_VERSION, _CREATE_VM, _GET_VCPU_MMAP_SIZE = 0xAE00, 0xAE01, 0xAE04
_CREATE_VCPU, _RUN = 0xAE41, 0xAE80
_SET_USER_MEMORY_REGION = 0x4020AE46
_GET_REGS, _SET_REGS = 0x8090AE81, 0x4090AE82
_GET_SREGS, _SET_SREGS = 0x8138AE83, 0x4138AE84
_EXIT_HLT = 5

_CODE, _TABLES, _MEMORY = 0x1000, 0x2000, 0x8000
_ENTRY_PRESENT_WRITABLE, _ENTRY_LARGE = 0x3, 0x80
_CR0_PROTECTED_PAGED = 0x80050033
_CR4_PHYSICAL_EXTENSION_SSE = 0x620
_EFER_LONG_MODE = 0x500
_CONTROL_REGISTERS = 224  # offset in kvm_sregs, after eight segments and two tables


def measure() -> dict[str, object]:
    """`{"usable": bool, "reason": text, "mips": number}`"""
    if os.uname().machine != "x86_64":
        return _verdict(False, f"not tried on {os.uname().machine}")
    try:
        kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return _verdict(False, f"/dev/kvm does not open: {errno.errorcode.get(error.errno or 0)}")
    try:
        return _run_guest(kvm)
    except OSError as error:
        return _verdict(False, f"KVM refused a request: {errno.errorcode.get(error.errno or 0)}")


def _run_guest(kvm: int) -> dict[str, object]:
    version = fcntl.ioctl(kvm, _GET_API_VERSION, 0)
    if version != 12:
        return _verdict(False, f"KVM speaks API version {version}, expected 12")
    vm = fcntl.ioctl(kvm, _CREATE_VM, 0)
    memory = _guest_memory()
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(vm, _SET_USER_MEMORY_REGION, struct.pack("=IIQQQ", 0, 0, 0, _MEMORY, address))
    vcpu = fcntl.ioctl(vm, _CREATE_VCPU, 0)
    shared = mmap.mmap(vcpu, fcntl.ioctl(kvm, _GET_VCPU_MMAP_SIZE, 0))
    _set_long_mode(vcpu)

    # The handler does nothing: its only use is that the ioctl returns with EINTR.
    signal.signal(signal.SIGALRM, lambda _signal, _frame: None)
    signal.setitimer(signal.ITIMER_REAL, _LIMIT_SECONDS)
    started = time.perf_counter()
    interrupted = False
    try:
        fcntl.ioctl(vcpu, _RUN, 0)
    except InterruptedError:
        interrupted = True
    seconds = time.perf_counter() - started
    signal.setitimer(signal.ITIMER_REAL, 0)

    registers = bytearray(0x90)
    fcntl.ioctl(vcpu, _GET_REGS, registers)
    left = struct.unpack_from("=Q", registers, 16)[0] & 0xFFFFFFFF
    mips = 2 * (_LOOPS - min(left, _LOOPS)) / seconds / 1e6
    exit_reason = struct.unpack_from("=I", shared, 8)[0]
    if interrupted:
        return _verdict(False, f"the guest got only {mips:.2f} million instructions a second", mips)
    if exit_reason != _EXIT_HLT:
        return _verdict(False, f"the guest stopped with KVM exit reason {exit_reason}, expected a halt", mips)
    if mips < _MIPS_MIN:
        return _verdict(False, f"the guest ran at {mips:.2f} million instructions a second", mips)
    return _verdict(True, f"a guest ran at {mips:.0f} million instructions a second", mips)


def _guest_memory() -> mmap.mmap:
    memory = mmap.mmap(-1, _MEMORY, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    # Three table levels that lead to one 2 MiB page at address 0.
    for level in (0, 1):
        here, below = _TABLES + level * 0x1000, _TABLES + (level + 1) * 0x1000
        struct.pack_into("<Q", memory, here, below | _ENTRY_PRESENT_WRITABLE)
    struct.pack_into("<Q", memory, _TABLES + 0x2000, _ENTRY_PRESENT_WRITABLE | _ENTRY_LARGE)
    program = b"".join(
        (
            b"\xb9" + struct.pack("<I", _LOOPS),  # mov ecx, loops
            b"\xff\xc9\x75\xfc",  # again: dec ecx; jnz again
            # A vector load, which emulators that only know the simple instructions do not survive.
            b"\x0f\x10\x04\x25\x00\x10\x00\x00",  # movups xmm0, [0x1000]
            b"\xf4",  # hlt
        )
    )
    memory[_CODE : _CODE + len(program)] = program
    return memory


def _set_long_mode(vcpu: int) -> None:
    special = bytearray(0x138)
    fcntl.ioctl(vcpu, _GET_SREGS, special)
    _segment(special, 0, selector=8, type_=11, long_mode=1)
    for index in range(1, 6):
        _segment(special, index, selector=16, type_=3, long_mode=0)
    control = (_CR0_PROTECTED_PAGED, 0, _TABLES, _CR4_PHYSICAL_EXTENSION_SSE)
    struct.pack_into("=QQQQ", special, _CONTROL_REGISTERS, *control)
    struct.pack_into("=Q", special, _CONTROL_REGISTERS + 40, _EFER_LONG_MODE)
    fcntl.ioctl(vcpu, _SET_SREGS, special)
    registers = bytearray(0x90)
    struct.pack_into("=QQ", registers, 128, _CODE, 2)  # rip, rflags
    fcntl.ioctl(vcpu, _SET_REGS, registers)


def _segment(special: bytearray, index: int, *, selector: int, type_: int, long_mode: int) -> None:
    # kvm_segment: base, limit, selector, type, present, dpl, db, s, l, g, avl, unusable, padding.
    flags = (type_, 1, 0, 1 - long_mode, 1, long_mode, 1, 0, 0, 0)
    struct.pack_into("=QIH10B", special, 24 * index, 0, 0xFFFFFFFF, selector, *flags)


def _verdict(usable: bool, reason: str, mips: float | None = None) -> dict[str, object]:
    return {"usable": usable, "reason": reason, "mips": None if mips is None else round(mips, 2)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()) + "\n")
