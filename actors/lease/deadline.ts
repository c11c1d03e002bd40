/**
 * The local deadline of a lease: true while `now` is before the deadline less the margin. The only place where it is checked
 * (`canAct`, grants, handovers): a planted fault replaces this function and the checkers must notice.
 * All three in ms; `now` and `deadline` from the same clock.
 */
export function withinDeadline(now: number, deadline: number, marginMs: number): boolean {
  return now < deadline - marginMs;
}
