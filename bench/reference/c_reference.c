/*
 * c_reference: the emulator's hot loops written plainly in C, as the same-work yardstick for the TypeScript code.
 * cc -O2 -o c_reference c_reference.c && ./c_reference [reps]      one JSON object, medians
 *   pin.*    gup_fast walk + grab over 4-byte PTEs and struct-of-arrays page metadata, then unpin (no atomics, and with atomics)
 *   hold.*   event queue, 4-ary heap ordered by (time, sequence), pop + push
 *   nvme.*   64-byte SQE -> fetch -> event -> optional 4 KiB copy -> 16-byte CQE -> callback
 *   ssd.*    four-stage contention model of a flash device, requests per second
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_s(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static int cmpd(const void *a, const void *b) { double x = *(const double *)a, y = *(const double *)b; return x < y ? -1 : x > y; }
static int reps = 7, first = 1;
static void emit(const char *n, double *v) { qsort(v, reps, sizeof *v, cmpd); printf("%s \"%s\": %.5g", first ? "" : ",\n", n, v[reps / 2]); first = 0; }

struct heap { double *t, *s; int32_t *p; int n; double seq, now; };
static void hinit(struct heap *h, int cap) { h->t = malloc(cap * 8); h->s = malloc(cap * 8); h->p = malloc(cap * 4); h->n = 0; h->seq = 0; h->now = 0; }
static void hfree(struct heap *h) { free(h->t); free(h->s); free(h->p); }
static void hpush(struct heap *h, double t, int p)
{
	int i = h->n++; double s = h->seq++;
	while (i > 0) { int q = (i - 1) >> 2; if (h->t[q] <= t) break; h->t[i] = h->t[q]; h->s[i] = h->s[q]; h->p[i] = h->p[q]; i = q; }
	h->t[i] = t; h->s[i] = s; h->p[i] = p;
}
static int hpop(struct heap *h)
{
	int r = h->p[0]; h->now = h->t[0]; int n = --h->n; if (!n) return r;
	double t = h->t[n], s = h->s[n]; int p = h->p[n], i = 0;
	for (;;) {
		int c = 4 * i + 1; if (c >= n) break;
		int m = c, e = c + 4 < n ? c + 4 : n;
		for (int k = c + 1; k < e; k++) if (h->t[k] < h->t[m] || (h->t[k] == h->t[m] && h->s[k] < h->s[m])) m = k;
		if (t < h->t[m] || (t == h->t[m] && s < h->s[m])) break;
		h->t[i] = h->t[m]; h->s[i] = h->s[m]; h->p[i] = h->p[m]; i = m;
	}
	h->t[i] = t; h->s[i] = s; h->p[i] = p; return r;
}
static uint32_t lcg(uint32_t x) { return (x * 1103515245u + 12345u) & 0x7fffffff; }

/* ---- pin ---- */
#define BIAS 1024
static int __attribute__((noinline)) pin(int32_t *ref, uint32_t *fl, uint32_t *pte, int i, int nr, uint32_t bad, uint32_t *out, int at)
{
	int n = 0;
	for (int e = i + nr; i < e; i++) {
		uint32_t p = *(volatile uint32_t *)&pte[i]; if ((p & 7) != 3) return n;
		uint32_t pfn = p >> 4, f = fl[pfn]; if (f & bad) return n;
		int32_t r = *(volatile int32_t *)&ref[pfn]; if (r <= 0 || r > 0x7fffffff - BIAS) return n;
		if (at) __atomic_fetch_add(&ref[pfn], BIAS, __ATOMIC_SEQ_CST); else ref[pfn] = r + BIAS;
		if (*(volatile uint32_t *)&pte[i] != p || (f & 3) == 1) { ref[pfn] = r; return n; }
		out[n++] = pfn;
	}
	return n;
}
static int __attribute__((noinline)) unpin(int32_t *ref, uint32_t *fl, uint32_t *out, int n, int at)
{
	for (int i = 0; i < n; i++) {
		uint32_t p = out[i]; if (fl[p] & 12) return i;
		int32_t r = at ? __atomic_sub_fetch(&ref[p], BIAS, __ATOMIC_SEQ_CST) : ref[p] - BIAS; if (r < 0) return i;
		if (!at) ref[p] = r;
	}
	return n;
}
static void t_pin(void)
{
	int N = 262144; int32_t *ref = malloc(N * 8); uint32_t *fl = malloc(N * 8), *pte = malloc(N * 4), *out = malloc(N * 4); double v[101];
	for (int rnd = 0; rnd < 2; rnd++) {
		for (int i = 0; i < N; i++) { ref[i] = 1; fl[i] = 3; pte[i] = (uint32_t)i << 4 | 3; }
		if (rnd) { uint32_t s = 1; for (int i = N - 1; i > 0; i--) { s = lcg(s); int j = s % (i + 1); uint32_t t = pte[i]; pte[i] = pte[j]; pte[j] = t; } }
		for (int at = 0; at < 2; at++) {
			char nm[64]; snprintf(nm, sizeof nm, "pin.%s.%s.Mpages/s", rnd ? "rand" : "seq", at ? "atomic" : "plain");
			for (int r = -1; r < reps; r++) { double a = now_s(); if (pin(ref, fl, pte, 0, N, 28, out, at) != N || unpin(ref, fl, out, N, at) != N) abort(); if (r >= 0) v[r] = N / (now_s() - a) / 1e6; }
			emit(nm, v);
		}
	}
}
static double lat[65536];
static void t_hold(void)
{
	uint32_t s = 1; for (int i = 0; i < 65536; i++) { s = lcg(s); lat[i] = 70000 + s % 20000; }
	static const int qd[] = { 1, 32, 128, 1024, 10000, 100000 };
	for (int q = 0; q < 6; q++) {
		double v[101]; char nm[64]; int M = 1000000; struct heap h; hinit(&h, qd[q] + 16);
		for (int r = -1; r < reps; r++) {
			int k = 0; h.n = 0; h.now = 0; for (int i = 0; i < qd[q]; i++) hpush(&h, lat[k++ & 65535], i);
			double a = now_s(); for (int i = 0; i < M; i++) { int p = hpop(&h); hpush(&h, h.now + lat[k++ & 65535], p); }
			if (r >= 0) v[r] = M / (now_s() - a) / 1e6;
		}
		snprintf(nm, sizeof nm, "hold.heap4.qd%d.Mevents/s", qd[q]); emit(nm, v); hfree(&h);
	}
}
struct bio { uint32_t lba, pfn; int status; void (*end)(struct bio *); };
static struct { uint32_t sq[2048 * 16], cq[2048 * 4], inf[2048 * 4]; int sqh, sqt, cqh, cqt, ph, dph, c; struct bio *bios[2048]; int fre[2048], nf; } D;
static struct heap Q; static uint8_t *media, *guest; static int done_, sub_, M_, cp_; static uint32_t x_; static int32_t gref[16384];
static void endio(struct bio *b);
static void start_(struct bio *b)
{
	x_ = lcg(x_); b->lba = (x_ >> 8) & 16383; gref[b->pfn] += BIAS;
	int cid = D.fre[--D.nf]; D.bios[cid] = b; uint32_t *s = D.sq + D.sqt * 16;
	s[0] = 2u | (uint32_t)cid << 16; s[1] = 1; s[6] = b->pfn << 12; s[7] = b->pfn >> 20; s[8] = s[9] = 0; s[10] = b->lba; s[11] = 0; s[12] = 7; D.sqt = (D.sqt + 1) & (D.c - 1);
	while (D.sqh != D.sqt) { uint32_t *e = D.sq + D.sqh * 16; int k = e[0] >> 16; D.inf[k * 4] = e[0] & 255; D.inf[k * 4 + 1] = e[6] >> 12 | e[7] << 20; D.inf[k * 4 + 2] = e[10]; D.inf[k * 4 + 3] = e[12] + 1; D.sqh = (D.sqh + 1) & (D.c - 1); hpush(&Q, Q.now + 80000 + lat[k & 255] / 100, k); }
}
static void endio(struct bio *b) { done_++; int r = gref[b->pfn] - BIAS; if (r < 0) abort(); gref[b->pfn] = r; if (sub_ < M_) { sub_++; start_(b); } }
static double nvme(int qd, int cp)
{
	struct bio *bs = calloc(qd, sizeof *bs); hinit(&Q, qd + 16); memset(&D, 0, sizeof D); D.ph = D.dph = 1; D.c = 2; while (D.c < qd + 1) D.c <<= 1; for (int i = 0; i < D.c; i++) D.fre[D.nf++] = i;
	M_ = 500000; done_ = sub_ = 0; x_ = 1; cp_ = cp; for (int i = 0; i < 16384; i++) gref[i] = 1;
	double a = now_s();
	for (int i = 0; i < qd; i++) { bs[i].pfn = i * 7 & 16383; bs[i].end = endio; sub_++; start_(&bs[i]); }
	while (Q.n) {
		int cid = hpop(&Q); uint32_t *f = D.inf + cid * 4; if (cp) memcpy(guest + (size_t)(f[1] & 16383) * 4096, media + (size_t)(f[2] & 16383) * 4096, 4096);
		uint32_t *c = D.cq + D.cqt * 4; c[0] = 0; c[2] = D.sqh; c[3] = (uint32_t)cid | (uint32_t)D.dph << 16; if (!(D.cqt = (D.cqt + 1) & (D.c - 1))) D.dph ^= 1;
		for (;;) { uint32_t d = D.cq[D.cqh * 4 + 3]; if ((int)(d >> 16 & 1) != D.ph) break; int k = d & 0xffff; if (!(D.cqh = (D.cqh + 1) & (D.c - 1))) D.ph ^= 1; struct bio *b = D.bios[k]; D.fre[D.nf++] = k; b->status = d >> 17; b->end(b); }
	}
	double r = done_ / (now_s() - a) / 1e6; hfree(&Q); free(bs); return r;
}
static void t_nvme(void)
{
	media = malloc(64 << 20); guest = malloc(64 << 20); memset(media, 1, 64 << 20); memset(guest, 2, 64 << 20);
	static const int qd[] = { 1, 32, 128, 1024 }; double v[101]; char nm[64];
	for (int c = 0; c < 2; c++) for (int q = 0; q < 4; q++) { for (int r = -1; r < reps; r++) { double d = nvme(qd[q], c); if (r >= 0) v[r] = d; } snprintf(nm, sizeof nm, "nvme.%s+pin.qd%d.Mops/s", c ? "copy" : "nocopy", qd[q]); emit(nm, v); }
}
enum { CH = 8, CHIP = 4, DIE = 2, ND = CH * CHIP * DIE };
static uint32_t map_[1 << 22];
static double ssd(int QD, int M, double *mean)
{
	struct heap q; hinit(&q, QD + 16); uint8_t *st = calloc(QD, 1), db[ND] = { 0 }, cb[CH] = { 0 }; int *die = calloc(QD, 4), *nx = calloc(QD, 4), dh[ND], dt[ND], chh[CH], cht[CH]; double *stt = calloc(QD, 8), sum = 0, link = 0; uint32_t x = 1; int sub = 0, done = 0;
	for (int i = 0; i < ND; i++) dh[i] = dt[i] = -1;
	for (int i = 0; i < CH; i++) chh[i] = cht[i] = -1;
#define ISSUE(i) do { x = lcg(x); uint32_t ppn = map_[(x >> 8) & ((1 << 22) - 1)]; die[i] = ((ppn * 0x9e3779b1u) >> 8) % ND; st[i] = 0; stt[i] = q.now; sub++; hpush(&q, q.now + 516, i); } while (0)
	double a = now_s();
	for (int i = 0; i < QD; i++) ISSUE(i);
	while (q.n) {
		int i = hpop(&q), d = die[i], c = d >> 3; double now = q.now;
		switch (st[i]) {
		case 0: st[i] = 1; if (!db[d]) { db[d] = 1; hpush(&q, now + 75200, i); } else { nx[i] = -1; if (dt[d] < 0) dh[d] = i; else nx[dt[d]] = i; dt[d] = i; } break;
		case 1: st[i] = 2; if (!cb[c]) { cb[c] = 1; hpush(&q, now + 12300, i); } else { nx[i] = -1; if (cht[c] < 0) chh[c] = i; else nx[cht[c]] = i; cht[c] = i; } break;
		case 2: { st[i] = 3; int e = chh[c]; if (e >= 0) { chh[c] = nx[e]; if (nx[e] < 0) cht[c] = -1; hpush(&q, now + 12300, e); } else cb[c] = 0;
			int g = dh[d]; if (g >= 0) { dh[d] = nx[g]; if (nx[g] < 0) dt[d] = -1; hpush(&q, now + 75200, g); } else db[d] = 0;
			double s = link > now ? link : now; link = s + 1044; hpush(&q, link, i); break; }
		default: done++; sum += now - stt[i]; if (sub < M) ISSUE(i);
		}
	}
	double r = done / (now_s() - a) / 1e6; *mean = sum / done; hfree(&q); free(st); free(die); free(nx); free(stt); return r;
}
int main(int argc, char **argv)
{
	if (argc > 1) reps = atoi(argv[1]);
	if (reps < 1 || reps > 99) reps = 7;
	printf("{\n"); t_pin(); t_hold(); t_nvme();
	for (unsigned i = 0; i < 1 << 22; i++) map_[i] = i;
	double v[101], m = 0;
	for (int r = -1; r < reps; r++) { double d = ssd(32, 500000, &m); if (r >= 0) v[r] = d; } emit("ssd.events.qd32.Mreq/s", v);
	for (int r = -1; r < reps; r++) { double d = ssd(256, 500000, &m); if (r >= 0) v[r] = d; } emit("ssd.events.qd256.Mreq/s", v);
	printf("\n}\n"); return 0;
}
