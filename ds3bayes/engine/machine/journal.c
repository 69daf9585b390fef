// A chain's journal: every log density that it asked for, with the gradient, in order, in a file.
//
// A chain is a function of its seed and of these answers alone. One that was killed is run again from its seed, and
// gets the answers that it had from the file, at the speed of reading; then it goes on by computing them.
//
// A record is dim + 4 words of 8 bytes: a digest of the point, what the log density returned, its value, the slopes,
// and a digest of these and of all records before, so that one that was cut off, damaged, or left from another course
// ends what is read.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Of this many records that are read, one is computed again, the first among them: it must be the same.
enum { VERIFIED = 1000 };

typedef int64_t (*LogDensity)(uint64_t dim, const double *point, double *slopes, double *value, void *user);

typedef struct {
  LogDensity of;
  void *user;
  uint64_t dim, words;
  FILE *file;
  uint64_t *record;
  double *slopes;
  uint64_t chained;      // digest of the last record
  int64_t most;          // records that may be written
  double every, flushed; // seconds between flushes, and when the last was
  int64_t asked, known;  // answers given, and how many of them from the file
  int64_t lost;          // answers that could not be written, or were not to be
  bool reads, writes;
} Journal;

static double seconds(void) {
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// Another number for another word anywhere.
static uint64_t digest(uint64_t from, const void *words, uint64_t count) {
  const unsigned char *at = words;
  for (uint64_t i = 0; i < count; i++, at += sizeof(uint64_t)) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    from = (from ^ word) * 0x9E3779B97F4A7C15u;
    from ^= from >> 32;
  }
  return from;
}

static void close_journal(Journal *it) {
  if (it->file) fclose(it->file);
  free(it->record);
  free(it->slopes);
  free(it);
}

// A journal in a file that exists, whose records begin after some bytes; NULL if it cannot be opened.
Journal *machine_journal_open(const char *path, int64_t after, uint64_t dim, LogDensity of, void *user, int64_t most,
                              double every) {
  Journal *it = calloc(1, sizeof *it);
  if (!it) return NULL;
  it->of = of;
  it->user = user;
  it->dim = dim;
  it->words = dim + 4;
  it->most = most;
  it->every = every;
  it->flushed = seconds();
  it->reads = it->writes = true;
  it->record = malloc(it->words * sizeof *it->record);
  it->slopes = malloc((dim + 1) * sizeof *it->slopes);
  it->file = fopen(path, "r+b");
  if (it->record && it->slopes && it->file && !fseek(it->file, (long)after, SEEK_SET)) return it;
  close_journal(it);
  return NULL;
}

// The next record, if there is one for this point and it is as it was written.
static bool read_record(Journal *it, uint64_t point) {
  uint64_t *record = it->record;
  if (fread(record, sizeof *record, it->words, it->file) != it->words) return false;
  return record[0] == point && record[it->words - 1] == digest(it->chained, record, it->words - 1);
}

static void write_record(Journal *it) {
  if (it->writes && it->asked < it->most) {
    it->chained = it->record[it->words - 1] = digest(it->chained, it->record, it->words - 1);
    it->writes = fwrite(it->record, sizeof *it->record, it->words, it->file) == it->words;
    double now = seconds();
    if (it->writes && (now - it->flushed > it->every || now < it->flushed)) {
      it->writes = fflush(it->file) == 0;
      it->flushed = now;
    }
  } else {
    it->writes = false;
  }
  if (!it->writes) it->lost++;
}

// As `machine_log_density`, of a chain whose journal it is.
int64_t machine_journal_log_density(uint64_t dim, const double *point, double *slopes, double *value, void *user) {
  Journal *it = user;
  if (dim != it->dim) return -1;
  uint64_t *record = it->record, seen = digest(dim, point, dim);
  size_t bytes = dim * sizeof(double);
  fpos_t here;
  if (it->reads && (fgetpos(it->file, &here) || !read_record(it, seen))) {
    it->reads = false;
    // Between reading and writing, C wants the place to be set.
    it->writes = fsetpos(it->file, &here) == 0;
  }
  bool verified = it->reads && it->asked % VERIFIED == 0;
  int64_t code = 0;
  if (!it->reads || verified) {
    code = it->of(dim, point, it->slopes, value, it->user);
    if (verified && ((int64_t)record[1] != code || memcmp(record + 2, value, sizeof *value) ||
                     memcmp(record + 3, it->slopes, bytes))) {
      it->reads = false;
      it->writes = fsetpos(it->file, &here) == 0;
    }
  }
  if (it->reads) {
    it->chained = record[it->words - 1];
    it->known++;
  } else {
    record[0] = seen;
    record[1] = (uint64_t)code;
    memcpy(record + 2, value, sizeof *value);
    memcpy(record + 3, it->slopes, bytes);
    write_record(it);
  }
  it->asked++;
  memcpy(value, record + 2, sizeof *value);
  memcpy(slopes, record + 3, bytes);
  return (int64_t)record[1];
}

// Answers in all, how many of them were known, and how many are not kept.
void machine_journal_told(const Journal *it, int64_t *asked, int64_t *known, int64_t *lost) {
  *asked = it->asked;
  *known = it->known;
  *lost = it->lost;
}

void machine_journal_close(Journal *it) {
  if (it) close_journal(it);
}
