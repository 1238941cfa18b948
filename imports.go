package wsgate

import (
	_ "github.com/wsgate/wsgate/admin"    // admin.api.wsgate
	_ "github.com/wsgate/wsgate/command"  // caddy wsgate
	_ "github.com/wsgate/wsgate/matchers" // time_window, env_flag, ws_handshake
)
