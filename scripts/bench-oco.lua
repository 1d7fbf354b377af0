-- Events of 5000 applications for wrk: the first three of each bring it to where progress reports are in order.
-- With one connection they come in order; `OCO_READY=1` leaves them out.
local applications = 5000
local head = { ["Content-Type"] = "application/x-www-form-urlencoded" }
local opening = {
  '{ "event" : "HELLO" }', '{ "event" : "DESCRIPTION" }',
  '{ "event" : "MEASUREMENT", "param": { "progress": 10 } }',
}
local made = {}
for number = 0, applications - 1 do
  local path = string.format("/accounts/a/applications/app%05d/servo", number)
  made[number] = wrk.format("POST", path, head, opening[3])
end
-- wrk makes one request for itself first, and sends it to nobody.
local sent = os.getenv("OCO_READY") and 3 * applications or -1
function request()
  local number = sent
  sent = sent + 1
  if number >= 0 and number < 3 * applications then
    local path = string.format("/accounts/a/applications/app%05d/servo", math.floor(number / 3))
    return wrk.format("POST", path, head, opening[number % 3 + 1])
  end
  return made[number % applications]
end
