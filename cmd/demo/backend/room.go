package backend

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	historyLength = 30
	queueLength   = 64
)

// message is a message to a page.
type message struct {
	Kind string    `json:"kind"` // say or count
	From string    `json:"from,omitempty"`
	Text string    `json:"text,omitempty"`
	At   time.Time `json:"at,omitzero"`
	N    int       `json:"n,omitempty"`
}

// rooms are the rooms of this process, by name.
var rooms sync.Map // string → *room

func roomOf(name string) *room {
	r, _ := rooms.LoadOrStore(name, &room{members: make(map[*member]bool)})
	return r.(*room)
}

// room has the members of a chat room, and its last messages.
type room struct {
	mu      sync.Mutex // guards the fields below
	members map[*member]bool
	history [][]byte
}

// member is one page in a room.
type member struct {
	queue chan []byte // closed when the member is dropped
}

func (r *room) join() *member {
	m := &member{queue: make(chan []byte, queueLength)}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, old := range r.history {
		m.queue <- old
	}
	r.members[m] = true
	r.count()
	return m
}

func (r *room) leave(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(m)
	r.count()
}

// say sends a page's message to all members. It drops data that is no message.
func (r *room) say(data []byte) {
	var in struct{ From, Text string }
	if json.Unmarshal(data, &in) != nil || in.Text == "" {
		return
	}
	out, err := json.Marshal(message{Kind: "say", From: in.From, Text: in.Text, At: time.Now().UTC()})
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.history = append(r.history, out); len(r.history) > historyLength {
		r.history = r.history[1:]
	}
	r.send(out)
}

// count sends all members their number. r.mu is held.
func (r *room) count() {
	if out, err := json.Marshal(message{Kind: "count", N: len(r.members)}); err == nil {
		r.send(out)
	}
}

// send queues data for all members, and drops a member whose queue is full.
// r.mu is held.
func (r *room) send(data []byte) {
	for m := range r.members {
		select {
		case m.queue <- data:
		default:
			r.drop(m)
		}
	}
}

// drop removes a member. r.mu is held.
func (r *room) drop(m *member) {
	if r.members[m] {
		delete(r.members, m)
		close(m.queue)
	}
}

// write sends the queued messages until the member is dropped.
func (m *member) write(ctx context.Context, conn *websocket.Conn) {
	for data := range m.queue {
		once, cancel := context.WithTimeout(ctx, writeTimeout)
		err := conn.Write(once, websocket.MessageText, data)
		cancel()
		if err != nil {
			return
		}
	}
	_ = conn.Close(websocket.StatusPolicyViolation, "too slow")
}
