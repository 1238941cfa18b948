// Package ledger stores records: the few small things that outlive the process,
// such as an operator's switch and a live flag.
//
// A [Ledger] answers from memory. [Ledger.Put] puts a record in force at once,
// and a goroutine writes it. When a record that was read changes what is in
// force, the ledger calls its watchers. Records are read from a [Place] and
// written to it. Caddy's storage is one ([OnStorage]).
//
// A place may hang. The ledger holds no lock while it calls a place. At most one
// read and one write are under way, and while one hangs, no other one begins.
// Every wait for a place has a limit.
//
//	Bind ──▶ reading ──(all records read)──▶ read
//	            │ ▲                           │ ▲
//	  (an error,│ │(after 3 s)       (Bind, a │ │
//	  no answer)▼ │                    broken ▼ │
//	           trouble                record)  reading again
//
// After the first reading of a place, its records are in force, even if the
// ledger knew a record with a higher seq. The exception are records that were
// put in this process: they win, and are written with a higher seq. A later
// reading of the same place puts a record in force only if it comes after the
// known one. A configuration that is loaded starts a reading. The ledger does
// not poll.
//
// Two records of one key are ordered by seq, then by the name of the node. A new
// record gets the highest seq known for its key, plus one.
//
// The package holds no process-wide variable. The ledger of the process belongs
// to package registry, which says what its records mean.
package ledger
