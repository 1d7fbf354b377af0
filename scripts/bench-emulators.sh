# The part of scripts/bench about emulators; not to be run by itself.
# shellcheck shell=bash disable=SC2154 # Variables and functions of scripts/bench.

# listening NAME: sets $address to where a program that was started says that it listens.
listening() {
  heard "$1" "listens on "
  address=$(cat "$work/$1.out" "$work/$1.err" | sed -n 's|.*listens on \(http://\)\{0,1\}\([0-9.:]*\).*|\2|p' | head -n 1)
}

# oco_load NAME: 100 connections against $address; notes the rate and the median in microseconds.
oco_load() {
  local bad
  client env OCO_READY=1 "${client_on[@]}" wrk -t1 -c100 "-d${SECONDS_EACH}s" --latency -s scripts/bench-oco.lua "http://$address"
  bad=$(sed -n 's/.*Non-2xx or 3xx responses: *//p' "$work/out")
  [ -z "$bad" ] || fail "$1 refused $bad requests"
  note "$1" "$(sed -n 's/^Requests\/sec: *//p' "$work/out")"
  note "$1-p50" "$(awk '$1 == "50%" { v = $2; u = v; sub(/[0-9.]+/, "", u); v += 0
    print u == "us" ? v : u == "ms" ? v * 1000 : v * 1e6 }' "$work/out")"
}

bench_oco() {
  local round name order server_on=(env) client_on=(env)
  # Each on a processor of its own: left alone, the system now and then puts both on one, which halves either server.
  if [ "$(nproc)" -gt 1 ]; then server_on=(taskset -c 0) client_on=(taskset -c 1); fi
  for round in $(seq "$ROUNDS"); do
    order=(bare-oco oco)
    [ $((round % 2)) -eq 1 ] || order=(oco bare-oco)
    for name in "${order[@]}"; do
      if [ "$name" = oco ]; then
        start oco env -u NATS_URL NUNCIUS_DATA="$work/nobody" "${server_on[@]}" "$BUILT/nuncius" emulator oco \
          --http 127.0.0.1:0 --apps 5000
      else
        start bare-oco "${server_on[@]}" "$EXAMPLES/bare_oco" 0
      fi
      local server=$started
      listening "$name"
      wrk -t1 -c1 -d6s -s scripts/bench-oco.lua "http://$address" >"$work/opening" 2>&1
      [ "$(sed -n "s/^ *\\([0-9]*\\) requests in.*/\\1/p" "$work/opening")" -gt 15000 ] || fail "not all applications were opened in time"
      oco_load "$name"
      if [ "$name" = oco ]; then
        end "$server"
      else
        kill -KILL "$server"
        wait "$server" 2>/dev/null || true
        unset "children[$server]"
      fi
    done
    note oco-bare "$(calc "$(tail -n 1 "$work/values/oco") / $(tail -n 1 "$work/values/bare-oco")")"
  done
  say "OCO emulator, progress reports over 5000 applications, 100 connections, $ROUNDS rounds of ${SECONDS_EACH} s"
  row bare-oco "bare axum server" /s
  row oco "emulator" /s
  row oco-bare "emulator / bare" x ge 0.85
  row oco-p50 "emulator: p50" µs lt 2000
}

# 5000 servos in one process against the emulator: 30 cycles of 4 s and what the last one leaves.
bench_servos() {
  local server
  start oco env -u NATS_URL NUNCIUS_DATA="$work/nobody" "$BUILT/nuncius" emulator oco --http 127.0.0.1:0 --apps 5000
  server=$started
  listening oco
  env -u NATS_URL NUNCIUS_DATA="$work/servos" "$BUILT/nuncius" emulator servo --url "http://$address/" --servos 5000 \
    --for 2m --start-spread 4s --measure 2s --adjust 2s --progress-interval 1s --quiet \
    --html "$work/servos.html" --json "$work/servos.json" >"$work/out" 2>"$work/err" ||
    [ -s "$work/servos.json" ] || { cat "$work/out" "$work/err" >&2; fail "the servos did not run"; }
  first() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" "$work/servos.json" | head -n 1; }
  note servos-lag "$(calc "$(first lag_p99_ns) / 1e6")"
  note servos-uneven "$(calc "$(first unevenness) * 100")"
  note servos-memory "$(calc "$(first resident_bytes_max) / 1048576 + $(awk '$1 == "VmHWM:" { print $2 / 1024 }' "/proc/$server/status")")"
  sed -n 's/^ *cycles/  cycles/p' "$work/out" >"$work/cycles"
  end "$server"
  say "5000 servos in one process against 5000 backends in another, 2 minutes"
  cat "$work/cycles"
  row servos-lag "lateness, p99" ms lt 20
  row servos-uneven "cycles, (max - min) / average" % lt 5
  row servos-memory "resident at most, both processes" MiB lt 150
}

# ask METHOD PATH [BODY]: what the emulator at $address answers.
ask() {
  exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
  printf '%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' \
    "$1" "$2" "$address" "${#3}" "${3:-}" >&3
  sed '1,/^\r$/d' <&3
  exec 3>&-
}

# hold KIND AMOUNT: asks for it and waits until it is held; $took is how long that took, in seconds.
hold() {
  local begun=$EPOCHREALTIME state
  state=$(ask POST "/v1/$1" "{\"amount\": \"$2\"}")
  until [[ $state == *'"phase":"holding"'* ]]; do
    [[ $state != *'"phase":"failed"'* && $state != *'"error"'* ]] || fail "$1: $state"
    sleep 0.01
    state=$(ask GET "/v1/$1" "")
  done
  took=$(calc "$EPOCHREALTIME - $begun")
}

idle() {
  ask DELETE "/v1/$1" "" >/dev/null
  until [[ $(ask GET "/v1/$1" "") == *'"phase":"idle"'* ]]; do sleep 0.01; done
}

bench_resource() {
  local server round before
  mkdir "$work/files"
  start resource env -u NATS_URL NUNCIUS_DATA="$work/nobody" "$BUILT/nuncius" emulator resource --http 127.0.0.1:0 \
    --directory "$work/files"
  server=$started
  listening resource
  for round in $(seq "$ROUNDS"); do
    client "$EXAMPLES/plain_fill" $((1 << 30))
    note fill "$(field seconds "$work/err")"
    hold memory 1GiB
    note memory-take "$took"
    idle memory
    note memory-fill "$(calc "$took / $(tail -n 1 "$work/values/fill")")"
    before=$EPOCHREALTIME
    dd if=/dev/zero of="$work/files/dd" bs=1M count=2048 status=none
    note dd "$(calc "$EPOCHREALTIME - $before")"
    rm "$work/files/dd"
    hold disk 2GiB
    note disk-take "$took"
    idle disk
    note disk-dd "$(calc "$took / $(tail -n 1 "$work/values/dd")")"
  done
  hold cpu 150%
  sleep 1
  before=$(cpu_ms "$server")
  sleep 10
  note cpu "$(calc "($(cpu_ms "$server") - $before) / 100")"
  idle cpu
  note cpu-off "$(calc "($(tail -n 1 "$work/values/cpu") - 150) < 0 ? 150 - $(tail -n 1 "$work/values/cpu") : $(tail -n 1 "$work/values/cpu") - 150")"
  end "$server"
  say "consumption on request, $ROUNDS rounds"
  row fill "plain fill of 1 GiB" s
  row memory-take "1 GiB of memory" s
  row memory-fill "memory / plain fill" x lt 2
  row dd "dd of 2 GiB" s
  row disk-take "2 GiB of disk" s
  row disk-dd "disk / dd" x lt 1.2
  row cpu "a load of 150 %, over 10 s" %
  row cpu-off "away from it" points lt 3
}
