/* SPDX-License-Identifier: MIT */
/* Everything that weft offers.  Each header below can also be included alone. */
#ifndef WEFT_H
#define WEFT_H

#include "weft/address.h"
#include "weft/allocator.h"
#include "weft/barrier.h"
#include "weft/base.h"
#include "weft/blocking.h"
#include "weft/broadcast.h"
#include "weft/channel.h"
#include "weft/condition.h"
#include "weft/event.h"
#include "weft/fiber.h"
#include "weft/file.h"
#include "weft/future.h"
#include "weft/generator.h"
#include "weft/io.h"
#include "weft/key.h"
#include "weft/keyed_mutex.h"
#include "weft/local.h"
#include "weft/mutex.h"
#include "weft/once.h"
#include "weft/pipeline.h"
#include "weft/process.h"
#include "weft/rate_limiter.h"
#include "weft/resolve.h"
#include "weft/runtime.h"
#include "weft/rwlock.h"
#include "weft/scope.h"
#include "weft/select.h"
#include "weft/semaphore.h"
#include "weft/singleflight.h"
#include "weft/task.h"
#include "weft/timer.h"
#include "weft/wait_group.h"

#endif
