# CONFIG NAME BRIDGE ADDRESS SECONDS: creates a domain and asks it for a page until it answers, until it is gone, or for
# that long after xl has ended. Prints two times in microseconds, from the start of xl: until xl ended, until the answer
# ("-": none). Whether anybody answers or not, asking takes dom0 the same.
config=$1 name=$2 bridge=$3 address=$4 patience=$5

# An address that nobody has yet is asked for every 20 ms, instead of every second: Linux would measure its own
# patience.
neighbours=/proc/sys/net/ipv4/neigh/$bridge
echo 20 >$neighbours/retrans_time_ms
echo 1000 >$neighbours/mcast_solicit
ip neighbour flush dev "$bridge"

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

# The first event comes at once, and one when any domain is gone.
exec 4< <(exec xenstore-watch @releaseDomain)
watch=$!
read -r -u 4 _

answered=$(mktemp -u)
start=${EPOCHREALTIME/./}
ask 2>/dev/null &
asker=$!
if ! xl create "$config" >/dev/null; then
    kill $asker $watch
    exit 1
fi
created=$(since)
while kill -0 $asker 2>/dev/null && [ "$(since)" -lt $((created + patience * 1000000)) ]; do
    read -r -t 0.02 -u 4 _ && ! xl domid "$name" >/dev/null 2>&1 && break
done
kill $asker $watch 2>/dev/null
echo "$created $(cat "$answered" 2>/dev/null || echo -)"
rm -f "$answered"
