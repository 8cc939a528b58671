// Which of the device's sessions this tab is: two open tabs must not be one session, or they
// would replace each other's connection for ever. A tab that is reloaded gets its own back.

import { locksHere } from "./tab-locks.js";

const SLOTS_MAX = 50;

/** @typedef {{ slot: string, release: () => void }} Claim */

/**
 * Claims the first session no other open tab has. Where there are no tabs there is only one.
 * @param {string} name
 * @param {LockManager | null} [locks]
 * @returns {Promise<Claim>}
 */
export async function claimSlot(name, locks = locksHere()) {
  if (!locks) return { slot: "0", release: () => {} };
  for (let index = 0; index < SLOTS_MAX; index += 1) {
    const release = await hold(locks, lockName(name, String(index)));
    if (release) return { slot: String(index), release };
  }
  throw new Error(`${SLOTS_MAX} tabs are open already`);
}

/**
 * Does `work` while no open tab has that session; skips it otherwise.
 * @param {string} name
 * @param {string} slot
 * @param {() => Promise<void>} work
 * @param {LockManager | null} [locks]
 */
export async function whileUnclaimed(name, slot, work, locks = locksHere()) {
  if (!locks) return;
  const release = await hold(locks, lockName(name, slot));
  if (!release) return;
  try {
    await work();
  } finally {
    release();
  }
}

/** @param {string} name @param {string} slot */
function lockName(name, slot) {
  return `staffetta:${name}:session:${slot}`;
}

/**
 * @param {LockManager} locks
 * @param {string} name
 * @returns {Promise<(() => void) | null>} What lets go of it; null if somebody has it.
 */
function hold(locks, name) {
  return new Promise((resolve, reject) => {
    locks
      .request(name, { ifAvailable: true }, (lock) => {
        if (!lock) return resolve(null);
        return new Promise((letGo) => resolve(() => letGo(undefined)));
      })
      .catch(reject);
  });
}
