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
// A configuration that is loaded starts a reading. The ledger does not poll, so
// other processes may have replaced what it knows. After the first reading of a
// place, its records are in force. A later reading puts a record in force only
// if it replaces the known one ([Record.Replaces]). Where a write is queued, the
// writer decides. It looks at what the place has right before it writes:
//
//   - What an operator says now ([Ledger.Put], [Ledger.Repeat]) replaces
//     whatever is there, and gets the next seq.
//   - Once its write has failed or hung, it gives way to a record that was said
//     later.
//   - What nobody says now gives way, too: the end of a record ([Ledger.End]), a
//     record that its place has lost, a record that moves to another place.
//
// The write of a record that was put in this process:
//
//	Put ──▶ now ──(nothing is there, the same, or another: next seq)──▶ stored
//	         │
//	   (failed, hung,
//	   2 s are over)
//	         ▼
//	        late ──(nothing, the same, or one that was said before)───▶ stored
//	         │
//	         └─────(one that was said later)──▶ that one is in force
//
// The package holds no process-wide variable. The ledger of the process belongs
// to package registry, which says what its records mean.
package ledger
