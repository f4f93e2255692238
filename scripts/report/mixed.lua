-- SPDX-License-Identifier: MIT
-- For wrk: every tenth request asks for something that has to be computed.

local count = 0
local plain, computed

function init()
    plain = wrk.format(nil, "/plaintext")
    computed = wrk.format(nil, "/compute/100")
end

function request()
    count = count + 1
    return count % 10 == 0 and computed or plain
end
