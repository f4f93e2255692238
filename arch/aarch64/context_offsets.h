/* SPDX-License-Identifier: MIT */
/* The saved frame, from the saved stack pointer upwards; shared by context.S and context.c. */
#ifndef WF_ARCH_AARCH64_CONTEXT_OFFSETS_H
#define WF_ARCH_AARCH64_CONTEXT_OFFSETS_H

#define WF_FRAME_X29 0 /* and x30, the return address, signed with the frame's end */
#define WF_FRAME_X19 16
#define WF_FRAME_X21 32
#define WF_FRAME_X23 48
#define WF_FRAME_X25 64
#define WF_FRAME_X27 80
#define WF_FRAME_D8 96
#define WF_FRAME_D10 112
#define WF_FRAME_D12 128
#define WF_FRAME_D14 144
#define WF_FRAME_FPCR 160
#define WF_FRAME_SIZE 176

#endif
