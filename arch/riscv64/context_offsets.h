/* SPDX-License-Identifier: MIT */
/* The saved frame, from the saved stack pointer upwards; shared by context.S and context.c. */
#ifndef WF_ARCH_RISCV64_CONTEXT_OFFSETS_H
#define WF_ARCH_RISCV64_CONTEXT_OFFSETS_H

#define WF_FRAME_FS 0 /* fs0 to fs11 */
#define WF_FRAME_S 96 /* s0 to s11 */
#define WF_FRAME_FRM 192
#define WF_FRAME_RA 200
#define WF_FRAME_SIZE 208

#endif
