# The part of scripts/bench about the gateway's metrics; not to be run by itself.
# shellcheck shell=bash disable=SC2154 # Variables and functions of scripts/bench.

# As many processes as BENCH_TELLING says tell 300 series each once a second, and the page is scraped.
bench_gateway() {
  local telling=${BENCH_TELLING:-200} gateway format before begun page
  start_system
  start gateway "$BUILT/nuncius" --nats "$nats_url" gateway --listen 127.0.0.1:0
  gateway=$started
  said gateway "metrics at" 20
  page=$(sed -n 's|.*metrics at http://\([^/]*\)/metrics.*|\1|p' "$work/gateway.out")
  before=$(cpu_ms "$gateway") begun=$(date +%s%N)
  start metrics_load "$EXAMPLES/metrics_load" "$nats_url" "$page" "$telling" 300 20
  wait "$started" || blame metrics_load "failed"
  unset "children[$started]"
  note gateway-cpu "$(calc "($(cpu_ms "$gateway") - $before) * 1e8 / ($(date +%s%N) - $begun)")"
  note gateway-memory "$(peak_mib "$gateway")"
  for format in text openmetrics protobuf; do
    sed -n "s/^format=$format scrape_ms=\([^ ]*\).*/\1/p" "$work/metrics_load.out" >"$work/values/scrape-$format"
  done
  end "$gateway" "$daemon"
  end "$server"
  say "$telling processes tell 300 series each once a second; a scrape every 1.1 s for 20 s"
  row gateway-cpu "gateway, of one processor" %
  row gateway-memory "gateway: peak" MiB
  row scrape-text "a scrape as text" ms lt 300
  row scrape-openmetrics "a scrape as OpenMetrics" ms lt 300
  row scrape-protobuf "a scrape as protobuf" ms lt 300
}
