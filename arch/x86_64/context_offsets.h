/* SPDX-License-Identifier: MIT */
/* The saved frame, from the saved stack pointer upwards; shared by context.S and context.c. */
#ifndef WF_ARCH_X86_64_CONTEXT_OFFSETS_H
#define WF_ARCH_X86_64_CONTEXT_OFFSETS_H

#define WF_FRAME_MXCSR 0
#define WF_FRAME_X87_CW 4
#define WF_FRAME_R15 8
#define WF_FRAME_R14 16
#define WF_FRAME_R13 24
#define WF_FRAME_R12 32
#define WF_FRAME_RBX 40
#define WF_FRAME_RBP 48
#define WF_FRAME_SIZE 56 /* the return address follows */

/* The control bits of MXCSR: denormals-are-zero, exception masks, rounding, flush-to-zero.  The
 * six status flags below them differ as soon as one side did inexact arithmetic. */
#define WF_MXCSR_CONTROL 0xffc0

#endif
