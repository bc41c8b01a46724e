/**
 * Doctors on call: a rule over several rows, each of which somebody else writes.
 *
 *   npm run example:oncall -- [--seconds 3]
 *
 * Each ward must have a doctor on call. Who wants to leave looks whether a colleague is there. At `snapshot` two of them can look at
 * the same moment, see each other, and both leave: neither writes what the other writes. At `serializable` one of them is run again
 * and sees that the other has gone.
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
    const doctors = db.table('doctors', { key: ['number', 'string'], schema: row() })
    const all = Array.from({ length: wards }, (_, index) => index + 1)
    await db.transaction(tx => {
      for (const ward of all) for (const name of names) tx.put(doctors, [ward, name], { onCall: true })
    })

    const onCallIn = (reader, ward) => reader.range(doctors, { prefix: [ward] }).toArray().filter(doctor => doctor.value.onCall)
    const emptyWards = () => all.filter(ward => onCallIn(db, ward).length === 0)

    async function act(run) {
      const ward = oneOf(all)
      const name = oneOf(names)
      const left = await run(`${name} of ward ${ward}`, async tx => {
        const onCall = onCallIn(tx, ward)
        await pause(Math.random() * 4) // a moment's thought
        const isOn = onCall.some(doctor => doctor.key[1] === name)
        if (isOn && onCall.length < 2) return false // has to stay
        tx.put(doctors, [ward, name], { onCall: !isOn })
        return isOn
      })
      // Outside of any transaction: what has been acknowledged by now.
      if (left && onCallIn(db, ward).length === 0) run.broken(`ward ${ward} had nobody on call`, emptyWards().length)
    }
    return { act }
  },
})
