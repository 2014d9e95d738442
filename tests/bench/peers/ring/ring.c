/* A bare reader of a TPACKET_V3 ring: takes every packet, looks at the first bytes of its TCP or
 * UDP payload, and does nothing with it. What receiving costs at least.
 *
 *     ring INTERFACE MEBIBYTES
 *
 * Until SIGINT; then prints what it took and what the kernel dropped.
 * Source: Documentation/networking/packet_mmap.rst. */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { BLOCK = 1 << 20, TIMEOUT_MS = 10 };

static volatile sig_atomic_t stop;

static void on_signal(int number) { stop = number; }

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* Where the payload begins, or the frame's end. */
static uint32_t payload(const uint8_t *frame, uint32_t length) {
    uint32_t at = 12;
    while (at + 4 <= length && frame[at] == 0x81 && frame[at + 1] == 0) at += 4;
    at += 2;
    if (at + 40 > length) return length;
    uint8_t protocol = frame[at] >> 4 == 4 ? frame[at + 9] : frame[at + 6];
    at += frame[at] >> 4 == 4 ? (frame[at] & 15) * 4 : 40;
    if (protocol == 17) return at + 8;
    if (protocol != 6 || at + 13 > length) return length;
    return at + (frame[at + 12] >> 4) * 4;
}

int main(int count, char **words) {
    if (count != 3) return fprintf(stderr, "usage: ring INTERFACE MEBIBYTES\n"), 2;
    int blocks = atoi(words[2]) * ((1 << 20) / BLOCK);
    int fd = socket(AF_PACKET, SOCK_RAW, 0), version = TPACKET_V3;
    if (fd < 0) fail("socket");
    if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version)) fail("version");
    struct tpacket_req3 ring = {
        .tp_block_size = BLOCK, .tp_block_nr = blocks, .tp_frame_size = 2048,
        .tp_frame_nr = BLOCK / 2048 * blocks, .tp_retire_blk_tov = TIMEOUT_MS,
    };
    if (setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring)) fail("ring");
    uint8_t *memory = mmap(NULL, (size_t)BLOCK * blocks, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_POPULATE, fd, 0);
    if (memory == MAP_FAILED) fail("mmap");
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)if_nametoindex(words[1]),
    };
    if (!address.sll_ifindex) fail(words[1]);
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) fail("bind");
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);

    uint64_t packets = 0, heads = 0;
    for (int at = 0; ; at = (at + 1) % blocks) {
        struct tpacket_block_desc *block = (void *)(memory + (size_t)at * BLOCK);
        while (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
            if (stop) goto end;
            struct pollfd wait = {.fd = fd, .events = POLLIN};
            poll(&wait, 1, 100);
        }
        struct tpacket3_hdr *packet = (void *)((uint8_t *)block + block->hdr.bh1.offset_to_first_pkt);
        for (uint32_t left = block->hdr.bh1.num_pkts; left > 0; left--) {
            const uint8_t *frame = (uint8_t *)packet + packet->tp_mac;
            uint32_t begin = payload(frame, packet->tp_snaplen);
            if (begin + 4 <= packet->tp_snaplen)
                heads += !memcmp(frame + begin, "GET ", 4) | !memcmp(frame + begin, "POST", 4)
                       | !memcmp(frame + begin, "HTTP", 4);
            packets++;
            packet = (void *)((uint8_t *)packet + packet->tp_next_offset);
        }
        __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    }
end:;
    struct tpacket_stats_v3 stats;
    socklen_t size = sizeof stats;
    if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size)) fail("statistics");
    printf("%lu packets, %u dropped, %lu heads\n", packets, stats.tp_drops, heads);
    return 0;
}
