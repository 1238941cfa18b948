package wsgate

import (
	_ "github.com/wsgate/wsgate/admin"    // admin.api.wsgate and the wsgate subcommand
	_ "github.com/wsgate/wsgate/matchers" // time_window, env_flag, ws_handshake
)
