/** The one subscription of the wall: a snapshot or the missed deltas first, then deltas. */
export const FLEET_QUERY = `subscription Wall($since: LivePosition) {
  fleet(since: $since) {
    __typename
    ... on FleetSnapshot { epoch seq asOf simulated nodes ids names states nodeIndex reasons totals { ...T } }
    ... on FleetDelta { epoch from seq asOf simulated nodes ids names states nodeIndex reasons removed totals { ...T } }
  }
}
fragment T on FleetTotals { devices connected backlog sentPerMinute failedPerMinute states { state count } }`;
