# SPDX-License-Identifier: MIT
"""In gdb: steps through the switches of steps.c and unwinds at each instruction.  See run.py."""
import functools

import gdb

STEPS_MAX = 20000


class Processor:
    """What a function keeps for its caller, in the order of tests/support/registers.h."""

    def __init__(self, general, floating=(), view=None, pointer="sp", inline=()):
        self.general, self.floating = list(general), list(floating)
        self.view = view  # gives the bits that are kept of a floating-point register
        self.pointer = pointer
        self.inline = set(inline)  # of SWITCHES

    def kept(self, frame):
        """Names and values, the stack pointer's last."""
        for name in self.general:
            yield name, int(frame.read_register(name))
        for name in self.floating:
            yield name, int(self.view(frame.read_register(name)).format_string(format="x"), 16)
        yield self.pointer, int(frame.read_register(self.pointer))


PROCESSORS = {
    "i386:x86-64": Processor(["rbx", "rbp", "r12", "r13", "r14", "r15"], pointer="rsp",
                             inline=["wf_context_switch"]),
    # gdb does not unwind d8, a view of v8.
    "aarch64": Processor([f"x{n}" for n in range(19, 30)], [f"v{n}" for n in range(8, 16)],
                         lambda value: value["d"]["u"][0]),
    "riscv:rv64": Processor(["fp"] + [f"s{n}" for n in range(1, 12)],
                            [f"fs{n}" for n in range(12)], lambda value: value["double"]),
}

# A switch is inlined into a function of its own on x86-64, and called by that one elsewhere.
SWITCHES = ("wf_context_switch", "switch_contexts", "wf_context_hand_over", "wf_context_hand_back")

KEEPER = "call_with_registers"
START = "wf_context_start"
# From the function that switches outwards, and what the keeper's registers hold (steps.c).  What
# called main() is the C library's.
STACKS = {
    ("switch_inwards", KEEPER, "call", "go_through", "main"): 0,
    ("hand_inwards", KEEPER, "call", "go_through", "main"): 0,
    ("switch_outwards", KEEPER, "call", "inner", START): 1,
    ("hand_outwards", KEEPER, "call", "inner_hands", START): 2,
}
KEEPER_AT = 1

# By function and stack: the registers that it had when it last called a switch.
at_entry = {}


def frames():
    """The frames from the innermost one outwards, and why there is no further one."""
    frame = gdb.newest_frame()
    found = []
    while frame is not None and len(found) < 50:
        if frame.type() != gdb.INLINE_FRAME:
            found.append(frame)
        reason = frame.unwind_stop_reason()
        frame = frame.older()
    return found, reason


def wrong_registers(found, keeper, stack):
    """Which get a wrong value in the function that filled them, or in the one that called this."""
    processor = PROCESSORS[keeper.architecture().name()]
    wrong = [name for (name, value), filled in zip(processor.kept(keeper), filled_in(stack))
             if value != filled]
    caller = found[1]
    now = list(processor.kept(caller))
    if found[0].pc() == min(instructions(found[0].name())):
        at_entry[caller.name(), stack] = now  # there no rule is needed
    wrong += [name for (name, value), (_, then) in zip(now, at_entry[caller.name(), stack])
              if value != then and name not in wrong]
    return wrong


@functools.lru_cache
def filled_in(stack):
    row = gdb.parse_and_eval(f"registers[{STACKS[stack]}]")
    return [int(row[i]) for i in range(row.type.range()[1] + 1)]


@functools.lru_cache
def instructions(function):
    """What each is, by its address."""
    lines = gdb.execute(f"disassemble {function}", to_string=True).splitlines()[1:-1]
    return {int(line.replace("=>", "").split()[0], 16): line.split("\t")[1] for line in lines}


@functools.lru_cache
def signed_in(function):
    """The instructions at which the function's return address is signed; none but on AArch64."""
    is_signed, found = False, set()
    for pc, text in instructions(function).items():
        if is_signed:
            found.add(pc)
        is_signed = text == "paciasp" or (is_signed and text != "autiasp")
    return found


def complaint(found, reason):
    names = [frame.name() for frame in found]
    if reason not in (gdb.FRAME_UNWIND_NO_REASON, gdb.FRAME_UNWIND_OUTERMOST):
        return "ends with: " + gdb.frame_stop_reason_string(reason)
    if None in names:
        return "has a frame without a function"
    # In front of the stack's own frames is a switch.
    inner = next(i for i, name in enumerate(names + [None]) if name not in SWITCHES)
    left = tuple(names[inner:])
    # gdb marks a return address that it has taken a signature off.  It does so to one without, too;
    # who checks signatures would not go on there.
    marks = "[PAC]" in gdb.execute("backtrace 2", to_string=True)
    if marks != (found[0].pc() in signed_in(names[0])):
        return f"takes its return address for {'a signed' if marks else 'an unsigned'} one"
    if left == (START,):
        return None  # it has not begun yet, or begins right now
    stack = left if left[-1:] == (START,) else left[:5]
    if inner == 0 or stack not in STACKS:
        return "is none of the stacks"
    wrong = wrong_registers(found, found[inner + KEEPER_AT], stack)
    return f"gives wrong values of {', '.join(wrong)}" if wrong else None


def where():
    """The function and the program counter."""
    frame = gdb.newest_frame()
    while frame.type() == gdb.INLINE_FRAME:
        frame = frame.older()
    return frame.name(), frame.pc()


def check_steps():
    problems = []
    looked_at = set()
    for _ in range(STEPS_MAX):
        name, pc = where()
        if name == "steps_end":
            return problems, looked_at
        # Only by its first instruction does anything else enter a switch.
        if name not in SWITCHES and name != START:
            gdb.execute("continue", to_string=True)
            continue
        looked_at.add((name, pc))
        found, reason = frames()
        why = complaint(found, reason)
        if why:
            names = [frame.name() for frame in found]
            problems.append(f"{name} at {pc:#x}: the backtrace {why}: {names}")
        gdb.execute("stepi", to_string=True)
    problems.append("the steps do not end")
    return problems, looked_at


def main():
    gdb.execute("set pagination off")
    gdb.execute("set confirm off")
    for function in ("steps_begin", "steps_end"):
        gdb.execute(f"break {function}")
    # Under an emulator it has been started, and waits.
    gdb.execute("run" if gdb.selected_thread() is None else "continue", to_string=True)
    processor = PROCESSORS[gdb.newest_frame().architecture().name()]
    switches = sorted(set(SWITCHES) - processor.inline)
    for function in switches:
        gdb.execute(f"break *{function}")
    problems, looked_at = check_steps()
    for function in switches:
        missed = set(instructions(function)) - {pc for _, pc in looked_at}
        if missed:
            problems.append(f"{function}: never at {', '.join(map(hex, sorted(missed)))}")
    gdb.execute("delete")
    gdb.execute("break in_fiber")
    gdb.execute("continue", to_string=True)
    found, reason = frames()
    names = [frame.name() for frame in found]
    # Outside of the library, in it, and where a fiber begins.
    if (names[:3] != ["in_fiber", "third_call", "in_the_fiber"] or
            names[-1] != START or len(names) > 8 or
            reason not in (gdb.FRAME_UNWIND_NO_REASON, gdb.FRAME_UNWIND_OUTERMOST)):
        problems.append(f"in a fiber the backtrace is {names}, reason {reason}")
    for problem in problems:
        print("PROBLEM " + problem)
    print(f"LOOKED at {len(looked_at)} instructions")
    gdb.execute("kill")


main()
