-- The token bucket of one account and kind of limit, shared by many processes.
--
-- Each run is a request of one process: its calls in flight, ended calls and waiting callers. The reply has the
-- tokens granted and the time to ask again. tokens.py explains the arithmetic, lanes.py the turns. Times are
-- microseconds on the state's clock: the server's, but without steps back or leaps.
--
-- KEYS[1]: the state. A script of the same version may add fields, and must keep fields that it does not know. A
-- state that another program changed is replaced by a new one with all tokens just spent.
-- ARGV: see StoreRequest.arguments in redis_messages.py.

local SECOND = 1000000
local OVERTAKES = 7              -- consecutive grants that may pass an older waiter
local POLLS_APART = 2            -- minimum between two polls of all processes, in spacings
local LATENESS = 0.1             -- spacings that a token may be late before it delays later ones
local ROUNDING = 1               -- added to windows: the resolution of the clock
local GRACE = SECOND / 2         -- after which a process that did not ask in time is skipped
local LEAP = SECOND / 2          -- by which the clock may exceed a process's expectation: a slow request
local WORTH_A_HINT = SECOND / 100  -- minimum time that a hint must save
local SHORTEST_WAIT = SECOND / 1000  -- minimum time until a process asks again
local CLEAN_WINDOWS, MOST_CLEAN_WINDOWS = 12, 768  -- after which the declared limit is tried again
local FAR_BELOW = 10             -- a stated rate this many times below the declared one needs a second answer
local LONG_WINDOW = 60 * SECOND  -- a longer stated window does, too
local REMEMBERED = 5 * SECOND    -- the longest that earlier calls count when the window becomes shorter
local LONGEST_PAUSE = 3600 * SECOND
local MOST_KEPT = 7 * 86400000   -- milliseconds that a state outlives the last request
local NEVER = 2 ^ 53
local FORMS, BATCH, POLLS = 1, 2, 3
local LANES = {FORMS, BATCH, POLLS}

local function server_clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local args = {}
for i, value in ipairs(ARGV) do args[i] = tonumber(value) end
local VERSION, me, number, channel = args[1], ARGV[2], args[3], ARGV[4]
local declared = {c = args[5], p = args[6], m = args[7]}
local lease, presence, keep = args[8], args[9], args[10]
local held, waiting = args[11], {args[12], args[13], args[14]}
local all_ends_count = args[15] == 1
local rate_limited, pause = args[16] == 1, args[17]
local named = args[18] > 0 and {c = args[18], p = args[19], m = declared.m} or nil
local known_born, known_steps, expected = args[20], args[21], args[22]
local leaving = args[23] == 1
local FIRST_END = 24

local s, now, begun_as_spent, was_damaged, was_out_of_reach

-- Tokens -----------------------------------------------------------------------------------------------------

local function spacing(limit)
  limit = limit or s.limit
  return limit.p / limit.c * (1 + limit.m / 1000000)
end

local function surplus() return s.free + s.out + #s.due + #s.late - s.limit.c + s.withdrawn end

-- Schedule the return of the token of a call that ended at `ended`.
local function queue(ended)
  local due = ended + s.limit.p + ROUNDING
  s.slot = math.max(s.slot + spacing(), due - LATENESS * spacing())
  s.due[#s.due + 1] = math.max(due, s.slot)
end

local function drop_surplus()
  local more = math.max(0, surplus())
  local from_free = math.min(more, s.free)
  s.free = s.free - from_free
  if more > from_free and #s.due > 0 then
    -- Later tokens move up; otherwise each dropped token would still delay them.
    local left = math.max(0, #s.due - (more - from_free))
    s.slot = s.due[1] - spacing()
    s.due = {}
    for i = #s.ends - left + 1, #s.ends do queue(s.ends[i]) end
  end
end

local function return_token(ended)
  table.remove(s.ends, 1)
  local place = #s.ends + 1
  while place > 1 and s.ends[place - 1] > ended do place = place - 1 end
  table.insert(s.ends, place, ended)
  queue(ended)
  drop_surplus()
end

-- End a call in flight. The server may count a call without an answer for another window.
local function release(ended, counted)
  s.out = s.out - 1
  if counted then
    return_token(ended)
  else
    s.late[#s.late + 1] = ended + s.limit.p
    table.sort(s.late)
  end
end

-- Spend a free token; a call made without one spends the next token due.
local function spend()
  if s.free > 0 then
    s.free = s.free - 1
  else
    table.remove(#s.due > 0 and s.due or s.late, 1)
  end
  s.out = s.out + 1
  s.last_taken = now
end

local function release_unused()
  s.out = s.out - 1
  s.free = s.free + 1
  drop_surplus()
end

local function spend_all()
  for _ = 1, s.free do
    s.free = s.free - 1
    return_token(now)
  end
  s.spent_at = now
end

local function free_those_due()
  local still = {}
  for _, due in ipairs(s.due) do
    if due > now then still[#still + 1] = due end
  end
  s.free = s.free + #s.due - #still
  s.due = still
end

-- Which limit ------------------------------------------------------------------------------------------------

local function within(one, other)
  local calls = math.min(one.c, other.c)
  local per = math.max(one.p, other.p / math.floor(other.c / calls))
  return {c = calls, p = per, m = math.max(one.m, other.m)}
end

-- The largest limit within all limits that present processes declared.
local function agreed()
  local all = {}
  for _, process in pairs(s.processes) do
    if not process.gone then all[#all + 1] = process.declared end
  end
  table.sort(all, function(a, b)
    if a.p ~= b.p then return a.p > b.p end
    if a.c ~= b.c then return a.c < b.c end
    return a.m < b.m
  end)
  local limit = all[1] or s.declared
  for i = 2, #all do limit = within(limit, all[i]) end
  return limit
end

-- Spend no token until calls made under the longer window no longer count.
local function wait_for_longer_window(window)
  local last = s.out > 0 and now or s.ends[#s.ends]
  if #s.late > 0 then last = math.max(last, math.min(s.late[#s.late], now + window)) end
  if last >= s.window_since then
    s.asked_until = math.max(s.asked_until, last + window + ROUNDING)
    s.paused = math.max(s.paused, s.asked_until)
  end
end

-- Apply the declared and the learnt limit. Earlier calls count from their end.
local function apply()
  local limit = s.learnt and within(s.declared, s.learnt) or s.declared
  if limit.c == s.limit.c and limit.p == s.limit.p and limit.m == s.limit.m then return false end
  local former = s.limit.p
  s.limit = limit
  s.paused = math.min(s.paused, math.max(s.asked_until, now + spacing()))
  s.withdrawn = math.min(s.withdrawn, limit.c - 1)
  local remembered = math.min(former, REMEMBERED)
  if limit.p < remembered then wait_for_longer_window(remembered) end
  if limit.p ~= former then s.window_since = now end
  for i, ended in ipairs(s.late) do s.late[i] = ended + limit.p - former end
  -- Unknown earlier calls ended no later than the oldest known one.
  for _ = 1, limit.c - #s.ends do table.insert(s.ends, 1, s.ends[1]) end
  local usable = math.max(0, limit.c - s.withdrawn - s.out - #s.late)
  local free = math.min(s.free, usable - #s.due)
  s.free, s.due, s.slot = 0, {}, now - spacing()
  for i = #s.ends - usable + 1, #s.ends do
    if s.free < free and s.ends[i] + s.limit.p + ROUNDING <= now then
      s.free = s.free + 1
    else
      queue(s.ends[i])
    end
  end
  free_those_due()
  return true
end

-- Microseconds without a 429 after which the declared limit is tried again.
local function patience()
  return s.clean_windows * math.max(s.declared.p, math.min(s.limit.p, LONG_WINDOW))
end

local function tried_again_at()
  local is_idle = s.out == 0 and #s.due == 0 and #s.late == 0
  return s.learnt and not is_idle and s.last_429 + patience() or NEVER
end

local function is_believed()
  local ours = s.declared
  local is_far_below = named.c * FAR_BELOW * ours.p < ours.c * named.p or named.p > math.max(LONG_WINDOW, ours.p)
  if not is_far_below or s.doubted and s.doubted.c == named.c and s.doubted.p == named.p then return true end
  s.doubted = named
  return false
end

local function learn()
  local lower = within(s.limit, named)
  if lower.c == s.limit.c and lower.p == s.limit.p then return false end
  if not s.learnt then
    s.clean_windows = now < s.on_trial_until and math.min(2 * s.clean_windows, MOST_CLEAN_WINDOWS) or CLEAN_WINDOWS
  end
  s.learnt = s.learnt and within(s.learnt, named) or named
  return apply()
end

local function on_rate_limited()
  if now >= s.last_429 + patience() then s.doubted = nil end
  if pause >= 0 then s.asked_until = math.max(s.asked_until, now + math.min(pause, LONGEST_PAUSE)) end
  s.paused = math.max(s.paused, s.asked_until, pause < 0 and now + math.min(spacing(), LONG_WINDOW) or 0)
  s.clean_since, s.last_429 = now, now
  if named and is_believed() and learn() then return end
  if s.limit.c - s.withdrawn > 1 and now >= s.last_withdrawal + spacing() then
    s.withdrawn = s.withdrawn + 1
    s.last_withdrawal = now
    drop_surplus()
  end
end

local function settle()
  for _, process in pairs(s.processes) do
    if process.lease <= now then
      for _ = 1, process.out do release(process.lease, false) end
      process.out = 0
    end
  end
  while #s.late > 0 and s.late[1] <= now do
    return_token(table.remove(s.late, 1))
  end
  while s.withdrawn > 0 and now >= s.clean_since + s.limit.p do
    s.withdrawn = s.withdrawn - 1
    s.clean_since = s.clean_since + s.limit.p
    if surplus() < 0 then queue(s.clean_since) end
  end
  free_those_due()
  if now >= tried_again_at() then
    s.on_trial_until, s.learnt = now + patience(), nil
    apply()
  end
end

-- Whose turn it is ------------------------------------------------------------------------------------------------

-- When a batch call may take a token without spending the burst of forms or the tokens of `ahead` earlier calls.
local function burst_spared_at(ahead)
  local free = s.free - ahead
  if #s.due > 0 then return s.due[1] - free * spacing() - ROUNDING end
  if s.out > 0 or #s.late > 0 then return s.last_taken + s.limit.p end
  return now
end

local function earliest(ahead)
  local short = ahead - s.free
  local start = now
  if short >= 0 and short < #s.due then
    start = s.due[short + 1]
  elseif short >= 0 then
    start = math.max(now + s.limit.p, s.slot + spacing()) + (short - #s.due) * spacing()
  end
  return math.max(math.min(start, tried_again_at()), now, s.paused)
end

local function next_poll_at() return s.last_poll + POLLS_APART * spacing() end

-- Whether a lane may take a token with `ahead` calls before it, `polls` of which are polls.
local function may_take(lane, ahead, polls)
  if s.free <= ahead or now < s.paused then return false end
  if lane == POLLS and (polls > 0 or now < next_poll_at()) then return false end
  return lane == FORMS or burst_spared_at(ahead) <= now
end

local function when(lane, ahead, polls)
  local start = earliest(ahead)
  if lane ~= FORMS and s.free > ahead then start = math.max(start, burst_spared_at(ahead)) end
  if lane == POLLS then start = math.max(start, math.max(now, next_poll_at()) + polls * POLLS_APART * spacing()) end
  return start
end

-- The oldest waiter of each lane, highest lane first.
local function heads()
  local found = {}
  for _, lane in ipairs(LANES) do
    local head
    for name, process in pairs(s.processes) do
      local ticket = process.tickets[lane]
      if ticket > 0 and (not head or ticket < head.ticket) then
        head = {process = name, lane = lane, ticket = ticket}
      end
    end
    if head then found[#found + 1] = head end
  end
  return found
end

local function is_due(head) return head.lane ~= POLLS or now >= next_poll_at() end

-- The waiter whose turn it is, the lane whose turn it uses, and the counters of turns after its grant.
local function turn()
  local all = heads()
  local first = all[1]
  if not first then return nil end
  local last, oldest = all[#all], first
  for _, head in ipairs(all) do
    if head.ticket < oldest.ticket then oldest = head end
  end
  local passed = first.lane == FORMS and oldest or last
  if first.ticket == passed.ticket or s.passed[first.lane] >= OVERTAKES and is_due(passed) then
    local polls_turn = s.polls_turn
    if first.lane == FORMS and passed.lane == BATCH then
      polls_turn = not polls_turn
      if polls_turn and is_due(last) then passed = last end
    end
    return passed, first.lane, {0, 0, 0}, polls_turn
  end
  local counters = {s.passed[1], s.passed[2], s.passed[3]}
  counters[first.lane] = math.min(OVERTAKES, counters[first.lane] + 1)
  return first, first.lane, counters, s.polls_turn
end

-- How many calls go before this process in a lane, and how many of them are polls. These are all calls in higher
-- lanes, one of each earlier process in this lane, and the next in turn if it is in a lower lane.
local function ahead_of(lane, next_in_turn)
  local mine, count, same = s.processes[me].tickets[lane], 0, 0
  for _, process in pairs(s.processes) do
    for higher = 1, lane - 1 do count = count + process.waiting[higher] end
    local ticket = process.tickets[lane]
    if ticket > 0 and ticket < mine then same = same + 1 end
  end
  if next_in_turn.process ~= me and next_in_turn.lane > lane then count = count + 1 end
  return count + same, lane == POLLS and same or 0
end

local function ticket()
  s.ticket = s.ticket + 1
  return s.ticket
end

local granted = {0, 0, 0}

local function grant(lane)
  local mine = s.processes[me]
  spend()
  if lane == POLLS then s.last_poll = now end
  mine.out = mine.out + 1
  mine.waiting[lane] = mine.waiting[lane] - 1
  -- The next call of this process queues behind the other processes.
  mine.tickets[lane] = mine.waiting[lane] > 0 and ticket() or 0
  granted[lane] = granted[lane] + 1
end

-- Grant tokens to this process: in its turn, or out of turn if each call ahead still has a token.
local function grant_all()
  local head, claim, counters, polls_turn = turn()
  if not head then return end
  if head.process == me and may_take(claim, 0, 0) then
    s.passed, s.polls_turn = counters, polls_turn
    grant(head.lane)
    return grant_all()
  end
  for _, lane in ipairs(LANES) do
    if s.processes[me].tickets[lane] > 0 and may_take(lane, ahead_of(lane, head)) then
      grant(lane)
      return grant_all()
    end
  end
end

-- When this process should ask again, at the latest to renew its lease.
local function next_request_in()
  local best, head = NEVER, turn()
  for _, lane in ipairs(LANES) do
    if s.processes[me].tickets[lane] > 0 then best = math.min(best, when(lane, ahead_of(lane, head))) end
  end
  if best == NEVER then return -1 end
  local again = math.max(SHORTEST_WAIT, math.ceil(math.min(best - now, lease / 3)))
  s.processes[me].ask_at = now + again
  return again
end

-- Publish a hint if the process whose turn it is would ask later than necessary.
local function hint()
  local head, claim = turn()
  if not head or head.process == me then return end
  local process = s.processes[head.process]
  local start = math.max(now, when(claim, 0, 0))
  if process.ask_at > start + WORTH_A_HINT then
    local message = string.format('%s %.0f', KEYS[1], start - now)
    -- pcall, because the user may lack permission for channels.
    local receivers = redis.pcall('PUBLISH', process.channel, message)
    if type(receivers) == 'number' and receivers > 0 then process.ask_at = start end
  end
end

-- Drop the waiters of processes that did not ask in time, and forget processes that have left.
local function forget_absent()
  for name, process in pairs(s.processes) do
    if name ~= me and process.ask_at + GRACE < now then
      process.waiting, process.tickets = {0, 0, 0}, {0, 0, 0}
    end
    if process.out == 0 and (process.gone or process.present <= now) then s.processes[name] = nil end
  end
end

-- The state in the store: a header with its version and a digest, and a packed table ------------------------------

local function header_of(version, packed)
  return string.format('leadsquared limit %d %s\n', version, redis.sha1hex(packed))
end

-- The version of a stored state (0 if it is not a state), and its table (nil if another program changed it).
local function read(raw)
  local header, version = raw:match('^(leadsquared limit (%d%d?%d?) %x+\n)')
  if not header then return 0 end
  local packed = raw:sub(#header + 1)
  return tonumber(version), header == header_of(version, packed) and cmsgpack.unpack(packed) or nil
end

-- The run ----------------------------------------------------------------------------------------------------

local function is_just_started()
  local ok, info = pcall(redis.call, 'INFO', 'server')
  local uptime = ok and type(info) == 'string' and info:match('uptime_in_seconds:(%d+)')
  return uptime and uptime * 1000000 < 2 * declared.p + lease + 1000000
end

local function begin(wall)
  now = wall
  s = {
    born = wall, steps = 0, offset = 0,
    limit = declared, declared = declared,
    free = declared.c, out = 0, due = {}, late = {}, ends = {}, slot = 0, paused = 0, asked_until = 0, withdrawn = 0,
    clean_since = 0, last_withdrawal = 0, last_taken = 0, last_poll = 0, spent_at = 0, window_since = 0,
    last_429 = 0, on_trial_until = 0, clean_windows = CLEAN_WINDOWS,
    ticket = 0, passed = {0, 0, 0}, polls_turn = false, processes = {},
  }
  for i = 1, declared.c do s.ends[i] = 0 end
  -- Calls made before the state began are unknown to it, so all tokens count as spent just now.
  if known_born ~= 0 or was_damaged or is_just_started() then
    spend_all()
    begun_as_spent = true
  end
end

local function resume(wall)
  now = wall + s.offset
  if known_born == s.born and expected > 0 and now > expected + LEAP then now = expected end
  now = math.max(now, s.at)
  s.offset = now - wall
  -- A process with waiters or calls in flight makes three requests per lease.
  if now - s.at > lease / 2 then
    was_out_of_reach = all_ends_count
    for _, process in pairs(s.processes) do
      local waits = process.waiting
      was_out_of_reach = was_out_of_reach or process.out + waits[1] + waits[2] + waits[3] > 0
    end
  end
end

local function count_calls(process)
  local surplus = process.out - held
  local ends = #args - FIRST_END + 1
  local unknown = ends - math.min(math.max(surplus, 0), ends)
  for i = 1, ends do
    local value = args[FIRST_END + i - 1]
    local counted = value >= 0
    local ended = now - (counted and value or -1 - value)
    if i > unknown then
      surplus = surplus - 1
      process.out = process.out - 1
      release(ended, counted)
    elseif all_ends_count and ended + (counted and 0 or s.limit.p) > s.spent_at then
      spend()
      release(ended, counted)
    end
  end
  for _ = 1, surplus do release_unused() end
  for _ = 1, -surplus do spend() end
  process.out = held
end

local raw = redis.call('GET', KEYS[1])
local wall = server_clock()
if raw then
  local version
  version, s = read(raw)
  if version ~= VERSION then return {1, version} end
  was_damaged = not s
end
if s then resume(wall) else begin(wall) end

local mine = s.processes[me]
local stale = mine ~= nil and mine.number >= number
local again = -1
settle()
if not stale then
  -- A replaced or restored state lacks the tokens spent since; so does a state that no process could reach while
  -- processes granted from their shares.
  local lacks_calls = known_born > 0 and (known_born ~= s.born or known_steps > s.steps)
  if lacks_calls or was_out_of_reach then
    s.steps = math.max(s.steps, known_steps)
    spend_all()
  end
  if not mine then
    mine = {out = 0, ask_at = 0, waiting = {0, 0, 0}, tickets = {0, 0, 0}}
    s.processes[me] = mine
  end
  mine.number, mine.channel, mine.declared = number, channel, declared
  mine.lease, mine.present, mine.gone = now + lease, now + presence, leaving
  count_calls(mine)
  s.declared = agreed()
  apply()
  if rate_limited then on_rate_limited() end
  settle()
  for _, lane in ipairs(LANES) do
    mine.waiting[lane] = leaving and 0 or waiting[lane]
    if mine.waiting[lane] == 0 then
      mine.tickets[lane] = 0
    elseif mine.tickets[lane] == 0 then
      mine.tickets[lane] = ticket()
    end
  end
  forget_absent()
  if not leaving then
    grant_all()
    again = next_request_in()
  end
  hint()
end
s.steps = s.steps + 1
s.at = now
local packed = cmsgpack.pack(s)
redis.call('SET', KEYS[1], header_of(VERSION, packed) .. packed, 'PX', math.min(keep, MOST_KEPT))

local processes = 0
for _, process in pairs(s.processes) do
  if not process.gone then processes = processes + 1 end
end
local limit = s.limit
return {
  stale and 2 or 0, now, s.born, s.steps, granted[1], granted[2], granted[3], again, s.free,
  math.ceil(math.max(0, earliest(s.free) - now)), math.ceil(math.max(0, s.paused - now)), s.withdrawn,
  limit.c, math.ceil(limit.p), limit.m, processes, s.learnt and 1 or 0,
  was_damaged and 2 or begun_as_spent and 1 or 0,
}
