# The part of scripts/bench about sessions, their protocols and their scripts; not to be run by itself.
# shellcheck shell=bash disable=SC2154 # Variables and functions of scripts/bench.

# Ten requests of a user with a row of data, two captures and templates all over, and no pause.
session_fields() {
  local row rows=
  for row in $(seq 100); do
    rows+="{name: user$row, password: secret$row},"
  done
  printf '%s' "feeders: [{name: users, rows: [$rows]}], steps: [" \
    "{post: {url: /json, json: {user: '{{ users.name }}', password: '{{ users.password }}'}," \
    " capture: {token: {json: \$.token}}}}," \
    "{get: {url: '/json/{{ users.name }}', headers: {Authorization: 'Bearer {{ token }}'}, capture: {id: {json: \$.user.id}}}},"
  for row in $(seq 8); do
    printf '%s' "{get: {url: '/page$row/{{ id }}', headers: {Authorization: 'Bearer {{ token }}', X-User: '{{ users.name }}'}}},"
  done
  printf '%s' "]"
}

# The same as a script of k6.
session_script() {
  cat <<SCRIPT
import http from 'k6/http';
import exec from 'k6/execution';
const users = [...Array(100).keys()].map((row) => ({ name: 'user' + (row + 1), password: 'secret' + (row + 1) }));
export const options = { vus: $CONNECTIONS, duration: '${SECONDS_EACH}s' };
export default function () {
  const user = users[exec.scenario.iterationInTest % users.length];
  const json = { headers: { 'Content-Type': 'application/json' } };
  const token = http.post('${url}json', JSON.stringify({ user: user.name, password: user.password }), json).json('token');
  const headers = { Authorization: 'Bearer ' + token };
  const id = http.get('${url}json/' + user.name, { headers }).json('user.id');
  for (let page = 1; page <= 8; page++) {
    http.get('${url}page' + page + '/' + id, { headers: { Authorization: 'Bearer ' + token, 'X-User': user.name } });
  }
}
SCRIPT
}

bench_sessions() {
  start_nginx
  local fields thinks has_k6=
  fields=$(session_fields)
  ! command -v k6 >/dev/null || has_k6=1
  session_script >"$work/session.js"
  for _ in $(seq "$ROUNDS"); do
    client "$EXAMPLES/engine_load" closed "$url" "$CONNECTIONS" "$SECONDS_EACH"
    note static "$(calc "$(field requests "$work/out") / $cpu")"
    client "$EXAMPLES/engine_load" closed "$url" "$CONNECTIONS" "$SECONDS_EACH" --fields "$fields"
    [ "$(field failed "$work/out")" = 0 ] || { cat "$work/out" >&2; fail "requests of sessions failed"; }
    note session "$(calc "$(field requests "$work/out") / $cpu")"
    note session-static "$(calc "$(tail -n 1 "$work/values/session") / $(tail -n 1 "$work/values/static")")"
    if [ -n "$has_k6" ]; then
      client k6 run --quiet --no-usage-report --summary-mode=legacy --summary-export "$work/k6.json" "$work/session.js"
      note k6 "$(calc "$(sed -n '/"http_reqs"/,/}/s/.*"count": *\([0-9]*\).*/\1/p' "$work/k6.json") / $cpu")"
      note session-k6 "$(calc "$(tail -n 1 "$work/values/session") / $(tail -n 1 "$work/values/k6")")"
    fi
  done
  # Ten thousand who have read one page and think.
  thinks="steps: [{get: '/{{ user() }}'}, {think: 1h}, {get: /never}]"
  client "$EXAMPLES/engine_load" closed "$url" 1 3 --fields "$thinks"
  local alone
  alone=$(field peak_bytes "$work/out")
  client "$EXAMPLES/engine_load" closed "$url" 10000 3 --fields "max_connections: 50, $thinks"
  note thinking "$(calc "($(field peak_bytes "$work/out") - $alone) / 10000 / 1024")"
  say "sessions of ten requests with two captures, templates and a row of data, $CONNECTIONS users, $ROUNDS rounds of ${SECONDS_EACH} s"
  row static "the same request for all" /CPU-s
  row session "sessions" /CPU-s
  row session-static "sessions / the same for all" x ge 0.5
  if [ -n "$has_k6" ]; then
    row k6 "k6" /CPU-s
    row session-k6 "sessions / k6" x ge 4
  fi
  row thinking "10,000 users who think, each" KiB lt 20
}

# TLS 1.3 and HTTP/2, the same small answer for all.
bench_protocols() {
  start_nginx
  local users=$((H2_CONNECTIONS * H2_STREAMS))
  for _ in $(seq "$ROUNDS"); do
    client wrk -t1 -c"$CONNECTIONS" -d"${SECONDS_EACH}s" "$url_tls"
    note tls-wrk "$(calc "$(awk '/requests in/ { print $1 }' "$work/out") / $cpu")"
    client "$EXAMPLES/engine_load" closed "$url_tls" "$CONNECTIONS" "$SECONDS_EACH" --fields "tls: {verify: false}"
    [ "$(field failed "$work/out")" = 0 ] || { cat "$work/out" >&2; fail "requests over TLS failed"; }
    note tls "$(calc "$(field requests "$work/out") / $cpu")"
    note tls-ratio "$(calc "$(tail -n 1 "$work/values/tls") / $(tail -n 1 "$work/values/tls-wrk")")"
    client h2load -t1 -c"$H2_CONNECTIONS" -m"$H2_STREAMS" -D"$SECONDS_EACH" "$url_h2"
    note h2load "$(calc "$(sed -n 's/^requests: .* \([0-9]*\) succeeded.*/\1/p' "$work/out") / $cpu")"
    client "$EXAMPLES/engine_load" closed "$url_h2" "$users" "$SECONDS_EACH" \
      --fields "http: 2, max_connections: $H2_CONNECTIONS, steps: [{get: /}]"
    [ "$(field failed "$work/out")" = 0 ] || { cat "$work/out" >&2; fail "requests over HTTP/2 failed"; }
    note h2 "$(calc "$(field requests "$work/out") / $cpu")"
    note h2-ratio "$(calc "$(tail -n 1 "$work/values/h2") / $(tail -n 1 "$work/values/h2load")")"
  done
  say "TLS 1.3, $CONNECTIONS connections kept alive, $ROUNDS rounds of $SECONDS_EACH s"
  row tls-wrk "wrk" /CPU-s
  row tls "engine" /CPU-s
  row tls-ratio "engine / wrk" x ge 0.95
  say "HTTP/2, $H2_CONNECTIONS connections of $H2_STREAMS streams, $ROUNDS rounds of $SECONDS_EACH s"
  row h2load "h2load" /CPU-s
  row h2 "engine, sessions" /CPU-s
  row h2-ratio "engine / h2load" x ge 0.7
}

# What a call of a function costs.
bench_script() {
  local name
  for _ in $(seq "$ROUNDS"); do
    client "$EXAMPLES/script_cost"
    for name in empty read header parse; do
      note "script-$name" "$(awk -v name="$name" '$1 == name { print $2 / 1000 }' "$work/out")"
    done
  done
  say "JavaScript, a call with 20 variables, $ROUNDS rounds"
  row script-empty "a function that does nothing" µs lt 5
  row script-read "reads a variable" µs
  row script-header "sets a header of the request" µs
  row script-parse "reads 1 KiB of JSON" µs
}
