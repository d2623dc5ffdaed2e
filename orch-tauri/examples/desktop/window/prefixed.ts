// `invoke` for the plugin form, under the name that the documented snippet imports.

import { invoke as call } from "@tauri-apps/api/core";

export const invoke = (command: string, args?: Record<string, unknown>): Promise<any> =>
  call(`plugin:orchestrator|${command}`, args);
