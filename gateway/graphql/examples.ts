/** Operations that the GraphiQL page opens with; a test checks each against the schema. */
export interface Example {
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>>;
}

export const EXAMPLES: readonly Example[] = [
  {
    query: `# Who am I, and how is the fleet? Enter your key above once.
query Fleet {
  viewer { keyName scopes tenant { id name } }
  fleet { devices connected backlog sentPerMinute failedPerMinute states { state count } }
  nodes { id state devices heartbeatAgeMs }
}`,
  },
  {
    query: `# The last hour, minute by minute
query History {
  fleet {
    history(span: HOUR) {
      total { accepted sent failed successRate processing { p50 p95 p99 } latency { p50 p95 p99 } }
      points { at accepted sent failed backlog }
    }
  }
}`,
  },
  {
    query: `# The first devices, and why each is (not) sending
query Devices {
  devices(first: 20) {
    edges { node { id name state reason node epoch sendability { canSend reasons until backlog } } }
    pageInfo { hasNextPage endCursor }
  }
}`,
  },
  {
    query: `# A new device
mutation Create($input: CreateDeviceInput!) {
  createDevice(input: $input) { device { id name state } linkToken errors { code message path } }
}`,
    variables: { input: { name: 'my first device', transport: 'SIMULATOR' } },
  },
  {
    query: `# Queue a message: the answer comes once it is committed
mutation Send($input: SendMessageInput!) {
  sendMessage(input: $input) {
    message { id state seq }
    held
    errors { code message path retryAfterMs }
  }
}`,
    variables: { input: { deviceId: 'Device:<uuid>', to: '+491701234567', body: 'Hello', idempotencyKey: 'first-1' } },
  },
  {
    query: `# What became of the messages
query Messages {
  messages(first: 20) {
    edges { node { id to state attempts cause createdAt sentAt device { name } } }
    pageInfo { hasNextPage endCursor }
  }
  deadLetters(first: 5) { edges { node { messageId cause attempts lastError } } }
}`,
  },
  {
    query: `# Follow messages as they move
subscription Events {
  messageEvents { message { id to } state at }
}`,
  },
  {
    query: `# Keys, and who did what
query Keys {
  apiKeys(first: 20) { edges { node { id name scopes state expiresAt } } }
  audit(first: 20) { edges { node { at action subject apiKeyName } } }
}`,
  },
];
