-- SPDX-License-Identifier: MIT
-- For wrk: the requests of another script, if there is one, and a look at every answer.  Arguments:
-- how many bodies are right, these, the script's path and its arguments.
--
-- wrk does not tell which request an answer belongs to, so with several bodies each is right for all.

-- Global, since those of a thread are read from outside it: wrk calls done() in another interpreter.
right = {} -- body: how often it came
wrong = 0
first_wrong = ""

local thread

function setup(one)
    thread = one
end

function init(arguments)
    local count = tonumber(arguments[1])
    for i = 2, count + 1 do
        right[arguments[i]] = 0
    end
    local script = arguments[count + 2]
    if not script then
        return
    end
    init = nil
    dofile(script)
    if init then
        local rest = {}
        for i = count + 3, #arguments do
            rest[#rest + 1] = arguments[i]
        end
        init(rest)
    end
end

function response(status, _, body)
    if status == 200 and right[body] then
        right[body] = right[body] + 1
    else
        if wrong == 0 then
            first_wrong = string.format("%d %q", status, body:sub(1, 80)):gsub("%c", " ")
        end
        wrong = wrong + 1
    end
end

function done()
    if thread:get("wrong") > 0 then
        print(string.format("verified: %d wrong answers, the first %s", thread:get("wrong"),
                            thread:get("first_wrong")))
    end
    for body, count in pairs(thread:get("right")) do
        if count == 0 then
            print(string.format("verified: no answer was %q", body))
        end
    end
    print("verified: all")
end
