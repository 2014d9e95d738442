#!/usr/bin/env bash
# Records the captures in this directory: real servers and real clients in two network
# namespaces. No packet leaves them, and nothing is left behind.
#
#   sudo ./record.sh [DIRECTORY]      writes into DIRECTORY (default: where this file lies)
#
# Debian 12: apt-get install nginx-light apache2-bin curl wget python3-requests chromium \
#            dnsmasq-base tcpdump tshark ethtool iproute2 procps openssl zstd
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=$(mkdir -p "${1:-$here}" && cd "${1:-$here}" && pwd)

missing=()
for program in nginx apache2 curl wget python3 chromium dnsmasq tcpdump tshark mergecap \
               editcap ethtool ip sysctl openssl zstd gzip timeout unshare; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || missing+=("$program")
done
python3 -c 'import requests' 2>/dev/null || missing+=("the Python package requests")
if ((${#missing[@]})); then
    list=$(printf ', %s' "${missing[@]}")
    echo "record.sh needs these, and they are not installed: ${list:2}." >&2
    exit 1
fi
if ((EUID)); then
    echo "record.sh makes network namespaces: run it as root." >&2
    exit 1
fi
PATH=$PATH:/usr/sbin:/sbin

client=ringmill-client
server=ringmill-server
work=$(mktemp -d)
chmod 755 "$work"
mkdir "$work/out" "$work/home" "$work/run"

# ---- taking down -----------------------------------------------------------------------

# Only what this shell started and what still runs: an old id may be another's by now.
stop() { # PID [SIGNAL]
    [[ $'\n'$(jobs -pr)$'\n' == *$'\n'$1$'\n'* ]] || return 0
    kill "-${2:-TERM}" "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

take_down() {
    local status=$? pid
    trap - EXIT INT TERM
    for pid in $(jobs -pr); do stop "$pid"; done
    for name in "$client" "$server"; do
        ip netns del "$name" 2>/dev/null || true
        rm -rf "/etc/netns/$name"
    done
    rmdir --ignore-fail-on-non-empty /etc/netns 2>/dev/null || true
    ((status == 0)) || { echo "record.sh failed; the logs:" >&2; tail -n 5 "$work"/run/*.log >&2 || true; }
    rm -rf "$work"
    exit "$status"
}
if [[ -e /run/netns/$client || -e /run/netns/$server ]]; then
    echo "Namespaces of an earlier run are still there: ip netns del $client; ip netns del $server" >&2
    rm -rf "$work"
    exit 1
fi
trap take_down EXIT
trap 'exit 130' INT TERM

# ---- running things --------------------------------------------------------------------

# An empty environment, so that no proxy setting, name or locale of this machine gets into
# a capture. -q and --no-config below are for the same reason.
clean=(env -i "PATH=$PATH" "HOME=$work/home" "TMPDIR=$work/run" LANG=C.UTF-8)
in_client() { ip netns exec "$client" "${clean[@]}" "$@"; }
in_server() { ip netns exec "$server" "${clean[@]}" "$@"; }

# `ip netns exec` and `env` replace themselves, so $! is the program's own id.
start() { # NAME in_client|in_server COMMAND...
    local log=$work/run/$1.log space=$client
    [[ $2 == in_server ]] && space=$server
    shift 2
    ip netns exec "$space" "${clean[@]}" "$@" >"$log" 2>&1 &
}

wait_until() { # WHAT COMMAND...
    local what=$1 try
    shift
    for ((try = 0; try < 100; try++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    echo "waited 10 s for $what" >&2
    return 1
}

sniffers=() sniffing=()
sniff() { # FILE INTERFACE OPTIONS...   records on the server's side
    local file=$1 interface=$2
    shift 2
    # -Z root: tcpdump may not write here as its own user. --immediate-mode: nothing is
    # still in the kernel's buffer when tcpdump is told to stop. -B: with -s 0 each packet
    # takes a slot of up to 256 kB, and the default buffer then holds only a few.
    start "tcpdump-$file" in_server tcpdump -i "$interface" -s 0 -U -n -Z root \
        -B 32768 --immediate-mode -w "$work/out/$file" "$@"
    sniffers+=("$!")
    sniffing+=("$work/run/tcpdump-$file.log")
    wait_until tcpdump grep -q 'listening on' "$work/run/tcpdump-$file.log"
}
sniffed() {
    local pid log
    sleep 0.5       # the last FIN and ACK
    for pid in "${sniffers[@]}"; do stop "$pid" INT; done
    for log in "${sniffing[@]}"; do
        grep -q '^0 packets dropped by kernel' "$log" || { echo "tcpdump lost packets" >&2; exit 1; }
    done
    sniffers=() sniffing=()
}

# -q: no .curlrc. The bodies are of no interest here.
curl() { in_client curl -q -sS --max-time 20 "$@" >/dev/null; }
wget() { in_client wget --no-config -q --tries=1 --timeout=20 "$@"; }

firefox='Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0'
iphone='Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1'
android='Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36'
googlebot='Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'
edge='Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0'

# ---- the network -----------------------------------------------------------------------

# Name resolution is a file inside the client's namespace: only the capture that is about
# DNS shows DNS.
mkdir -p "/etc/netns/$client"
echo 'nameserver 192.0.2.2' >"/etc/netns/$client/resolv.conf"
cat >"/etc/netns/$client/hosts" <<'HOSTS'
127.0.0.1 localhost
192.0.2.2 www.example.com shop.example.org apache.example.net
2001:db8::2 v6.example.com
198.51.100.2 vlan.example.com
2001:db8:20::2 v6.vlan.example.com
203.0.113.2 qinq.example.com
2001:db8:30::2 v6.qinq.example.com
10.9.0.2 tunnel.example.com
2001:db8:9::2 v6.tunnel.example.com
HOSTS

ip netns add "$client"
ip netns add "$server"
in_client ip link set lo up
in_server ip link set lo up
in_server sysctl -qw net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.router_solicitations=0

# Fixed addresses of our own: no capture names a real card.
in_server ip link add rm-server address 02:00:00:00:00:02 type veth \
    peer name rm-client address 02:00:00:00:00:01 netns "$client"

address() { # WHERE DEVICE IPV4 IPV6
    ip -n "$1" address add "$3" dev "$2"
    # nodad: else an IPv6 address may not be used for a second.
    ip -n "$1" address add "$4" dev "$2" nodad
    ip -n "$1" link set "$2" up
}
link() { # NEAR FAR IPV4-PREFIX IPV6-PREFIX
    address "$client" "$1" "$3.1/24" "$4::1/64"
    address "$server" "$2" "$3.2/24" "$4::2/64"
}
link rm-client rm-server 192.0.2 2001:db8

# A veth hands over segments of up to 64 kB with unfinished checksums, which no wire
# carries. `offload on` brings that back for the one capture that is about it.
offload() { # on|off
    in_client ethtool -K rm-client tso "$1" gso "$1" gro "$1" tx "$1" >/dev/null
    in_server ethtool -K rm-server tso "$1" gso "$1" gro "$1" tx "$1" >/dev/null
}
offload off

cable() { # KIND NAME IPV4-PREFIX IPV6-PREFIX TAG...
    local kind=$1 near=rm-$2-c far=rm-$2-s v4=$3 v6=$4 trunk=()
    shift 4
    if [[ $kind == vlan ]]; then
        trunk=("$near-t" "$far-t")
        # 1600: room for two tags. No IPv6 of its own: the trunk only carries.
        in_server ip link add "${trunk[0]}" mtu 1600 type veth peer name "${trunk[1]}" mtu 1600
        for port in "${trunk[@]}"; do
            in_server sysctl -qw "net.ipv6.conf.$port.disable_ipv6=1"
            in_server ip link set "$port" up
        done
    fi
    start "wire-$near" in_server python3 "$here/wire.py" "$kind" "$near" "$far" "${trunk[@]}" "$@"
    wait_until "$far" ip -n "$server" link show "$far"
    if [[ $kind == vlan ]]; then
        in_server ip link set "$near" address 02:00:00:00:01:01
        in_server ip link set "$far" address 02:00:00:00:01:02
    fi
    in_server ip link set "$near" netns "$client"
    link "$near" "$far" "$v4" "$v6"
}
cable vlan v 198.51.100 2001:db8:20 8100:20
cable vlan q 203.0.113 2001:db8:30 88a8:200 8100:30
cable raw t 10.9.0 2001:db8:9

# ---- the content -----------------------------------------------------------------------

python3 - "$work/www" <<'PYTHON'
import os, pathlib, struct, sys, zlib

www = pathlib.Path(sys.argv[1])

def png(red, green, blue):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes([red, green, blue]) * 16 for _ in range(16))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

files = {
    "index.html": b"<!doctype html><title>Home</title><p>Hello.</p>\n",
    "caf\u00e9.html": b"<!doctype html><title>Coffee</title>\n",
    "data.bin": bytes(range(256)) * 24,
    "numbers.txt": b"".join(b"%d\n" % n for n in range(1200)),
    "api/items.json": b'{"items": [' + b", ".join(b'{"id": %d}' % n for n in range(80)) + b"]}\n",
    "page/index.html": b"""<!doctype html><html><head><title>A page</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="style.css"><script src="app.js" defer></script></head>
<body><h1>A page</h1><img src="red.png" alt=""><img src="green.png" alt="">
<img src="http://static.example.com/page/blue.png" alt=""><img src="missing.png" alt=""></body></html>
""",
    "page/style.css": b"body { font-family: sans-serif; }\n" * 12,
    "page/app.js": b"fetch('/api/items.json').then(r => r.json()).then(d => {"
                   b" document.title = d.items.length; });\n"
                   b"fetch('/form', {method: 'POST', body: new URLSearchParams({q: 'tea'})});\n",
    "page/red.png": png(200, 0, 0), "page/green.png": png(0, 200, 0), "page/blue.png": png(0, 0, 200),
}
for name, body in files.items():
    path = www / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    os.utime(path, (1704110400, 1704110400))     # ETag and Last-Modified are of this
(www / "dav").mkdir()
PYTHON
chmod -R a+rX "$work/www"

# ---- the servers -----------------------------------------------------------------------

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj /CN=www.example.com -keyout "$work/run/key.pem" -out "$work/run/cert.pem" 2>/dev/null

long=$(python3 -c 'print("".join("%04d-" % n for n in range(640)))')     # 3200 bytes
cat >"$work/run/nginx.conf" <<NGINX
user root;                   # the files belong to root; the namespace is the fence
worker_processes 1;
daemon off;
pid $work/run/nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
    include /etc/nginx/mime.types;
    charset utf-8;
    access_log off;
    client_body_temp_path $work/run/body;
    proxy_temp_path $work/run/proxy;
    fastcgi_temp_path $work/run/fastcgi;
    uwsgi_temp_path $work/run/uwsgi;
    scgi_temp_path $work/run/scgi;
    keepalive_timeout 5;
    gzip_types text/plain application/json text/css application/javascript;
    server {
        listen [::]:80 ipv6only=off;
        listen [::]:8081 ipv6only=off;
        listen [::]:8443 ssl ipv6only=off;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate $work/run/cert.pem;
        ssl_certificate_key $work/run/key.pem;
        server_name www.example.com;
        root $work/www;
        location = /old { return 301 /index.html; }
        location = /form { return 200 "thanks\n"; }
        location /api/ {
            gzip on;         # of a static file: then the length is unknown, hence chunked
            add_header Cache-Control "public";
            add_header Cache-Control "max-age=60";
            add_header Pragma no-cache;
        }
        location /page/ { add_header Cache-Control no-cache; gzip on; }
        location = /place { add_header X-Place "Zürich, Ω"; add_header Set-Cookie a=1;
                            add_header Set-Cookie b=2; return 200 "here\n"; }
        location = /long { add_header X-Long "$long"; return 200 "long\n"; }
        location /dav/ { dav_methods PUT DELETE; }
    }
}
NGINX
start nginx in_server nginx -c "$work/run/nginx.conf"

modules=/usr/lib/apache2/modules
cat >"$work/run/apache.conf" <<APACHE
ServerName apache.example.net
ServerRoot $work/run
PidFile $work/run/apache.pid
DefaultRuntimeDir $work/run
User www-data
Group www-data
Mutex pthread
Listen 8080
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule mime_module $modules/mod_mime.so
LoadModule dir_module $modules/mod_dir.so
LoadModule deflate_module $modules/mod_deflate.so
LoadModule filter_module $modules/mod_filter.so
StartServers 1
ServerLimit 1
ThreadsPerChild 4
MaxRequestWorkers 4
MinSpareThreads 1
MaxSpareThreads 4
TypesConfig $work/run/mime.types
TraceEnable on
DocumentRoot $work/www
AddOutputFilterByType DEFLATE text/plain
ErrorLog $work/run/apache-error.log
<Directory $work/www>
    Require all granted
</Directory>
AddType text/html .html
AddType text/plain .txt
APACHE
: >"$work/run/mime.types"
start apache in_server apache2 -DFOREGROUND -f "$work/run/apache.conf"

start dnsmasq in_server dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv \
    --no-hosts --no-daemon --user=root --pid-file= --listen-address=192.0.2.2 --bind-interfaces \
    --address=/example.com/192.0.2.2 --address=/example.com/2001:db8::2

start python in_server python3 -m http.server --directory "$work/www" --bind 127.0.0.1 8000

for port in 80 8081 8443 8080; do
    wait_until "port $port" in_client bash -c "echo >/dev/tcp/192.0.2.2/$port"
done
wait_until "port 8000" in_server bash -c 'echo >/dev/tcp/127.0.0.1/8000'

# ---- the captures ----------------------------------------------------------------------

# One connection, many requests, each as another browser.
sniff curl-keepalive-ipv4.pcap rm-server
curl -A "$firefox" -e http://shop.example.org/ http://www.example.com/ \
    --next -sS -A "$firefox" http://www.example.com/old \
    --next -sS -A "$iphone" -H 'Cache-Control: no-cache' -H 'Pragma: no-cache' 'http://www.example.com/index.html?a=1&b=%20c' \
    --next -sS -A "$android" -e 'http://www.example.com/search?q=tea' http://www.example.com/missing \
    --next -sS -A "$googlebot" -H 'Cache-Control: max-age=0' http://www.example.com/numbers.txt \
    --next -sS -A "$edge" -H 'If-Modified-Since: Mon, 01 Jan 2024 12:00:00 GMT' http://www.example.com/ \
    --next -sS -A "$firefox" -H 'Host: shop.example.org' -H 'Connection: close' http://www.example.com/place
curl -A 'Käfer/1.0' -e $'http://www.example.com/caf\xe9' http://www.example.com/caf%C3%A9.html
curl -0 -A '' -H 'Referer: http://www.example.com/one' -H 'Referer: http://www.example.com/two' http://www.example.com/
sniffed

sniff wget-range-ipv6.pcap rm-server
wget -O "$work/part" http://v6.example.com/data.bin --start-pos=4000
head -c 5000 "$work/www/data.bin" >"$work/part"
wget -c -O "$work/part" http://v6.example.com/data.bin
wget --spider http://v6.example.com/data.bin
wget -N -P "$work/part.d" http://v6.example.com/numbers.txt
wget -N -P "$work/part.d" http://v6.example.com/numbers.txt       # 304
wget --no-http-keep-alive --post-data='a=1' -O "$work/part" http://v6.example.com/form
curl -r 0-9,100-109 http://v6.example.com/data.bin                # multipart/byteranges
curl -r 99999- http://v6.example.com/data.bin                     # 416
curl -g 'http://[2001:db8::2]/'
sniffed

cat >"$work/session.py" <<'PYTHON'
import requests

www = "http://vlan.example.com"
with requests.Session() as session:
    session.get(www + "/place")
    page = session.get(www + "/api/items.json", params={"page": 2, "q": "tea & milk"})
    session.post(www + "/form", json={"name": "Zoë", "n": 1})
    session.post(www + "/form", data={"a": "1"}, headers={"Referer": www + "/place"})
    session.put(www + "/dav/note.txt", data=b"a note\n" * 300)
    session.delete(www + "/dav/note.txt")
    session.get(www + "/old")
    session.head(www + "/data.bin")
    session.get(www + "/index.html", headers={"If-None-Match": session.get(www + "/").headers["ETag"]})
requests.get("http://v6.vlan.example.com/", headers={"User-Agent": "reader/2.1 (+http://www.example.com/bot)"})
PYTHON
sniff python-requests-vlan.pcap rm-v-s-t --time-stamp-precision=nano
in_client python3 "$work/session.py"
sniffed

sniff curl-qinq.pcap rm-q-s-t
curl -A "$android" http://qinq.example.com/ http://qinq.example.com/numbers.txt
curl -A "$iphone" -I http://v6.qinq.example.com/numbers.txt
sniffed

# Own process namespace: when the browser ends, its helpers end. Only the names of the
# page resolve, so that no name of the browser's vendor is asked for. Twice with one
# profile: the second visit asks whether its copies are still good.
sniff chromium-page.pcap rm-server
mkdir "$work/profile"
for visit in first second; do
    in_client unshare --pid --fork --kill-child --mount-proc timeout 90 chromium \
        --headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage \
        --no-first-run --disable-background-networking --disable-component-update \
        --disable-sync --disable-default-apps --disable-breakpad \
        --disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,MediaRouter \
        --host-resolver-rules='MAP www.example.com 192.0.2.2, MAP static.example.com 192.0.2.2, MAP * ~NOTFOUND' \
        --user-data-dir="$work/profile" --virtual-time-budget=3000 \
        --dump-dom http://www.example.com/page/ >"$work/run/dom-$visit.html" 2>"$work/run/chromium-$visit.log"
    grep -q 'A page' "$work/run/dom-$visit.html"
done
sniffed

# A head of three segments each way. What is cut is the cookie, not a field that we read.
sniff curl-long-cookie-split.pcap rm-server --time-stamp-precision=nano
curl -A "$firefox" -b "session=$long" http://www.example.com/ \
    --next -sS -A "$firefox" http://www.example.com/long \
    --next -sS -A "$iphone" -b "session=$long" -e http://www.example.com/ http://www.example.com/long
sniffed

# The same with segmentation left to the card: frames longer than the wire allows, and
# checksums that nobody has filled in.
offload on
sniff offload-left-on.pcap rm-server
curl -A "$firefox" -b "session=$long" http://www.example.com/long http://www.example.com/data.bin
offload off
sniffed

sniff nginx-chunked-gzip.pcap rm-server
curl --compressed -A "$edge" http://www.example.com/api/items.json \
    http://www.example.com/page/style.css http://www.example.com/numbers.txt
curl --compressed -A "$googlebot" http://apache.example.net:8080/numbers.txt
curl -X POST -H 'Transfer-Encoding: chunked' -H 'Content-Type: text/plain' -d @"$work/www/numbers.txt" \
    http://www.example.com/form
sniffed

sniff curl-methods-nginx-apache.pcap rm-server
for base in http://www.example.com:80 http://apache.example.net:8080; do
    curl -I "$base/"
    curl -I -H 'If-Modified-Since: Mon, 01 Jan 2024 12:00:00 GMT' "$base/"
    curl -X OPTIONS "$base/"
    curl -X OPTIONS --request-target '*' "$base/"
    curl -d 'a=1&b=2' "$base/"
    curl -H 'Expect: 100-continue' -H 'Content-Type: application/json' -d '{"a": 1}' "$base/form"
    curl -T "$work/www/index.html" "$base/dav/index.html"
    curl -X DELETE "$base/dav/index.html"
    curl -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{}' "$base/index.html"
    curl -X TRACE "$base/"
    curl -x "$base" http://www.example.com/index.html                       # absolute URI
    curl -p -x "$base" http://shop.example.org/ 2>/dev/null || true         # CONNECT, refused
done
sniffed

# Not all that is on a wire is HTTP on port 80. These names are not in the hosts file.
sniff mixed-ports-tls-dns.pcap rm-server
curl -4 -A "$firefox" http://api.example.com:8081/api/items.json
curl -6 -k https://api.example.com:8443/
curl -4 -k --tls-max 1.2 https://api.example.com:8443/
curl -6 -A "$android" http://web.example.com:8081/
curl http://none.example.org/ 2>/dev/null || true                           # no such name
sniffed

# -i any: a pseudo header instead of Ethernet, two versions of it.
for version in SLL SLL2; do
    sniff "any-interface-${version,,}.pcap" any -y "LINUX_$version"
    curl -A "$firefox" http://www.example.com/ http://v6.example.com/numbers.txt
    curl -A "$android" http://vlan.example.com/
    in_server curl -q -sS -o /dev/null 'http://[::1]/index.html'
    sniffed
done

# HTTP/1.0 replies; Ethernet without addresses.
sniff python-server-loopback.pcap lo
in_server curl -q -sS -o /dev/null http://127.0.0.1:8000/ -o /dev/null http://127.0.0.1:8000/missing
in_server curl -q -sS -o /dev/null -d a=1 http://127.0.0.1:8000/                # 501
sniffed

# Two interfaces in one file: other link types, other clocks.
sniff tun-raw-ip.pcap rm-t-s --time-stamp-precision=nano
sniff ethernet.pcap rm-server
curl -A "$iphone" http://tunnel.example.com/ http://tunnel.example.com/old
curl -A "$iphone" http://www.example.com/ http://www.example.com/api/items.json
curl -A "$googlebot" http://v6.tunnel.example.com/numbers.txt
sniffed

# ---- the formats -----------------------------------------------------------------------

cd "$work/out"
# From finished files, not by dumpcap: its section header names the machine's CPU and
# kernel. mergecap still names the kernel, hence bare_section.
mergecap -F pcapng -I none -w two-interfaces-raw-ethernet.pcapng tun-raw-ip.pcap ethernet.pcap
editcap -F pcapng wget-range-ipv6.pcap wget-range-ipv6.pcapng
rm ethernet.pcap wget-range-ipv6.pcap
bare_section() { # FILE   drops the options of the section header
    python3 - "$1" <<'PYTHON'
import pathlib, struct, sys

path = pathlib.Path(sys.argv[1])
data = path.read_bytes()
old, = struct.unpack_from("=I", data, 4)
new = struct.pack("=I", 28)
path.write_bytes(data[:4] + new + data[8:24] + new + data[old:])
PYTHON
}
for file in *.pcapng; do bare_section "$file"; done
gzip -9n nginx-chunked-gzip.pcap
zstd -q -19 --rm chromium-page.pcap
kernel=$(uname -r)
for file in *; do
    case $file in *.gz) show=(gzip -dc) ;; *.zst) show=(zstd -dcq) ;; *) show=(cat) ;; esac
    if "${show[@]}" "$file" | grep -qaF -e "$kernel" -e "$work"; then
        echo "$file names this machine's kernel or a path of it." >&2
        exit 1
    fi
done

mkdir -p "$out/expected"
rm -f "$out"/*.pcap "$out"/*.pcapng "$out"/*.pcap.gz "$out"/*.pcap.zst "$out"/expected/*.jsonl
cp ./* "$out/"
cd "$out"
for file in *.pcap *.pcapng *.pcap.gz *.pcap.zst; do
    python3 "$here/expected.py" "$file"
    # tshark counts the same packets from the bare bytes.
    theirs=$(tshark -r "$file" -Y tcp.payload -T fields -e tcp.payload 2>"$work/run/tshark.log" |
        grep -cE '^(474554|504f5354|505554|44454c455445|5041544348|48454144|4f5054494f4e53|434f4e4e454354|5452414345)20|^485454502f312e' || true)
    ours=$(wc -l <"expected/$file.jsonl")
    if ((theirs != ours)); then
        echo "$file: expected.py sees $ours heads, tshark $theirs." >&2
        exit 1
    fi
    printf '%8d bytes %4d heads  %s\n' "$(stat -c %s "$file")" "$ours" "$file"
done
[[ $out != "$here" ]] || python3 expected.py --readme
