-- SPDX-License-Identifier: MIT
-- For wrk: so many requests in one message, as the first argument says.

local message

function init(arguments)
    local all = {}
    for i = 1, tonumber(arguments[1]) do
        all[i] = wrk.format(nil)
    end
    message = table.concat(all)
end

function request()
    return message
end
