/**
 * Doctors on call: a rule over several rows, each of which somebody else writes.
 *
 *   npm run example:oncall -- [--seconds 3]
 *
 * Each ward must have a doctor on call. Who wants to leave looks whether a colleague is there, in an index of those who are on call.
 * At `snapshot` two of them can look at the same moment, see each other, and both leave: neither writes what the other writes. At
 * `serializable` what was looked up in the index must still be so at the commit: one of them is run again and sees that the other
 * has gone.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { row } from 'premisedb'
import { compareLevels } from './crowd.mjs'

const wards = 40
const names = ['anna', 'mia', 'nils']
const oneOf = list => list[Math.floor(Math.random() * list.length)]

await compareLevels({
  title: 'Doctors on call',
  rule: `${wards} wards with three doctors each. A doctor may go off call only while another one of the ward is on.`,
  unit: empty => `${empty} of ${wards} wards with nobody on call`,

  async start(db) {
    const doctors = db.table('doctors', {
      key: ['string'],
      schema: row(),
      indexes: { onCall: { on: doctor => (doctor.onCall ? doctor.ward : undefined) } }, // who is not on call is not in it
    })
    const all = Array.from({ length: wards }, (_, index) => index + 1)
    const keyOf = (ward, name) => `${name} of ward ${ward}`
    await db.transaction(tx => {
      for (const ward of all) for (const name of names) tx.put(doctors, keyOf(ward, name), { ward, onCall: true })
    })

    // Who they are is in the keys, so no row is read, and none relied on: only which doctors the index has under the ward.
    const onCallIn = (reader, ward) => reader.range(doctors.indexes.onCall, { prefix: [ward], keysOnly: true }).toArray()
    const emptyWards = () => all.filter(ward => db.count(doctors.indexes.onCall, { prefix: [ward] }) === 0)

    async function act(run) {
      const ward = oneOf(all)
      const doctor = keyOf(ward, oneOf(names))
      const left = await run(doctor, async tx => {
        const onCall = onCallIn(tx, ward)
        await pause(Math.random() * 4) // a moment's thought
        const isOn = onCall.some(({ key }) => key === doctor)
        if (isOn && onCall.length < 2) return false // has to stay
        tx.put(doctors, doctor, { ward, onCall: !isOn })
        return isOn
      })
      // Outside of any transaction: what has been acknowledged by now.
      if (left && onCallIn(db, ward).length === 0) run.broken(`ward ${ward} had nobody on call`, emptyWards().length)
    }
    return { act }
  },
})
