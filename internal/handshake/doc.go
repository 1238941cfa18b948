// Package handshake is the opening handshake on net/http, in its three HTTP
// versions: it recognises one ([Is]), refuses what is none ([Check]), and
// answers one and takes the connection ([Take]).
package handshake
