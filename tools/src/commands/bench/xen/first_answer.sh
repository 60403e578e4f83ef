# CONFIG ADDRESS SECONDS: creates a domain and asks it for a page until it answers, or for that long after xl has
# ended. Prints two times in microseconds, from the start of xl: until xl ended, until the answer ("-": none).
# Whether anybody answers or not, asking takes dom0 the same.
config=$1 address=$2 patience=$3

# An address that nobody has yet is asked for every 20 ms, instead of every second: Linux would measure its own
# patience.
neighbours=/proc/sys/net/ipv4/neigh/xenbr0
echo 20 >$neighbours/retrans_time_ms
echo 1000 >$neighbours/mcast_solicit
ip neighbour flush dev xenbr0

since() {
    echo $((${EPOCHREALTIME/./} - start))
}

ask() {
    while true; do
        if exec 3<>"/dev/tcp/$address/8080"; then
            printf 'GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n' >&3
            read -r -u 3 answer && [[ $answer == *' 200 '* ]] && break
            exec 3>&-
        fi
    done
    since >"$answered"
}

answered=$(mktemp -u)
start=${EPOCHREALTIME/./}
ask 2>/dev/null &
asker=$!
if ! xl create "$config" >/dev/null; then
    kill $asker
    exit 1
fi
created=$(since)
while kill -0 $asker 2>/dev/null && [ "$(since)" -lt $((created + patience * 1000000)) ]; do
    usleep 20000
done
kill $asker 2>/dev/null
echo "$created $(cat "$answered" 2>/dev/null || echo -)"
rm -f "$answered"
