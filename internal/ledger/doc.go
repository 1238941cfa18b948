// Package ledger keeps records: the few small things that outlive the process,
// such as a switch that was thrown and a flag that was set.
//
// A [Ledger] answers from memory. What is put is in force at once and is
// written behind the caller's back; what is read is handed to whoever watches.
// Both happen in a [Place], of which Caddy's storage is the first
// ([OnStorage]). A place may hang: no lock is held while it is called, at most
// one read and one write are under way in it, and while one hangs none is
// begun. Whoever waits for a place waits for a bounded time.
//
//	Bind ──▶ reading ──(every record seen)──▶ read
//	            │ ▲                            │ ▲
//	  (an error,│ │(after 3 s)       (Bind, an │ │
//	   no answer)▼│                 unreadable ▼ │
//	           trouble               record)  reading again
//
// The first reading of a place is taken as it is, whatever the numbers, except
// for what was said in this process: that wins, and is written there with the
// highest number plus one. A later reading of the same place takes only what is
// later than what is known. A place is read when a configuration comes, never
// polled.
//
// Two records of one key are ordered by seq, then by by. The first record that
// says a thing has the highest seq that is known for its key, plus one.
package ledger
