# SPDX-License-Identifier: MIT
"""In gdb: steps through the switches of steps.c and unwinds at each instruction.  See run.py."""
import gdb

SWITCHES = {"switch_contexts", "wf_context_hand_over", "wf_context_hand_back"}
STEPS_MAX = 20000

# The two stacks, from the function that switches outwards.  What called main() is the C library's.
OUTSIDE = ["go_through", "main"]
INSIDE = [["inner", "wf_context_start"], ["inner_hands_over", "wf_context_start"]]


# What a function keeps for its caller.
REGISTERS = ["rbx", "rbp", "r12", "r13", "r14", "r15", "rsp"]

# By the name of the function that left: the registers that it had then.
kept = {}


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


def registers(frame):
    return [int(frame.read_register(name)) for name in REGISTERS]


def differing(caller, is_entry):
    """Which registers get a wrong value in the function that called a switch."""
    if is_entry:
        kept[caller.name()] = registers(caller)
    return [name for name, now, then in zip(REGISTERS, registers(caller), kept[caller.name()])
            if now != then]


def complaint(found, reason):
    names = [frame.name() for frame in found]
    if reason not in (gdb.FRAME_UNWIND_NO_REASON, gdb.FRAME_UNWIND_OUTERMOST):
        return "ends with: " + gdb.frame_stop_reason_string(reason)
    if None in names:
        return "has a frame without a function"
    # In front of the stack's own frames is a switch.
    inner = 1 if names[0] in SWITCHES else 0
    left = names[inner:]
    if left == ["wf_context_start"]:
        return None  # it has not begun yet, or begins right now
    if left[:2] != OUTSIDE and left not in INSIDE:
        return "is none of the two stacks"
    if inner == 0:
        return None
    pc = found[0].pc()
    wrong = differing(found[inner], pc == int(gdb.parse_and_eval(f"(long)&{names[0]}")))
    return f"gives {left[0]} other {', '.join(wrong)} than it has" if wrong else None


def check_steps():
    problems = []
    looked_at = set()
    for _ in range(STEPS_MAX):
        found, reason = frames()
        names = [frame.name() for frame in found]
        if names[0] == "steps_end":
            return problems, looked_at
        if SWITCHES & set(names) or names[0] == "wf_context_start":
            pc = gdb.newest_frame().pc()
            looked_at.add((names[0], pc))
            why = complaint(found, reason)
            if why:
                problems.append(f"{names[0]} at {pc:#x}: the backtrace {why}: {names}")
        gdb.execute("stepi", to_string=True)
    problems.append("the steps do not end")
    return problems, looked_at


def instructions(function):
    """The addresses of all instructions of a function."""
    block = gdb.execute(f"disassemble {function}", to_string=True).splitlines()[1:-1]
    return {int(line.replace("=>", "").split()[0], 16) for line in block}


def main():
    gdb.execute("set pagination off")
    gdb.execute("set confirm off")
    gdb.execute("break steps_begin")
    gdb.execute("break in_fiber")
    gdb.execute("run", to_string=True)
    problems, looked_at = check_steps()
    for function in sorted(SWITCHES):
        missed = instructions(function) - {pc for _, pc in looked_at}
        if missed:
            problems.append(f"{function}: never at {', '.join(map(hex, sorted(missed)))}")
    gdb.execute("continue", to_string=True)
    found, reason = frames()
    names = [frame.name() for frame in found]
    # Outside of the library, in it, and where a fiber begins.
    if (names[:3] != ["in_fiber", "third_call", "in_the_fiber"] or
            names[-1] != "wf_context_start" or len(names) > 8 or
            reason not in (gdb.FRAME_UNWIND_NO_REASON, gdb.FRAME_UNWIND_OUTERMOST)):
        problems.append(f"in a fiber the backtrace is {names}, reason {reason}")
    for problem in problems:
        print("PROBLEM " + problem)
    print(f"LOOKED at {len(looked_at)} instructions")
    gdb.execute("kill")


main()
