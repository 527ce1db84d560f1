/* The numbers of runs, as the page was given them and as they come in: columns by phase, on one axis of steps. */

export const phases = ["pretrain", "quantize"];

/** Adds the records that came since. What is there already is passed over. */
export function addRecord(run, record) {
  const kind = record.tensors ? "tensors" : record.heldOutLossNats === undefined ? "metrics" : "heldOut";
  const part = run[kind][record.phase] ??= kind === "tensors" ? { step: [], tensors: {} } : { step: [] };
  if (record.step <= (part.step.at(-1) ?? 0)) return;
  const before = part.step.length;
  part.step.push(record.step);
  const addTo = (columns, values) => {
    for (const [name, value] of Object.entries(values)) {
      columns[name] ??= Array(before).fill(null);
      columns[name].push(value);
    }
    for (const [name, column] of Object.entries(columns)) {
      if (name !== "tensors" && column.length <= before) column.push(null);
    }
  };
  if (kind !== "tensors") {
    const { step: _, phase: __, ...values } = record;
    return addTo(part, values);
  }
  for (const [name, values] of Object.entries(record.tensors)) addTo(part.tensors[name] ??= {}, values);
}

/** Step of a phase on the axis of the run. */
const placeOf = (run, phase) => phase === "quantize" ? run.pretrainSteps : 0;

/** Points of a column over all phases. */
export function pointsOf(run, kind, field) {
  const [xs, ys] = [[], []];
  for (const phase of phases) {
    const { step = [], [field]: column = [] } = run[kind][phase] ?? {};
    step.forEach((each, at) => {
      if (column[at] === null || column[at] === undefined) return;
      xs.push(each + placeOf(run, phase));
      ys.push(column[at]);
    });
  }
  return [xs, ys];
}

/** Layer and component of a weight; undefined for other parameters. */
function placeInModel(name) {
  const found = /^model\.layers\.(\d+)\.(?:\w+\.)?(\w+)\.weight$/.exec(name);
  return found ? { layer: Number(found[1]), component: found[2] } : undefined;
}

/** Components of quantized weights, in the order of the model. */
export function componentsOf(run) {
  const names = phases.flatMap((phase) => Object.keys(run.tensors[phase]?.tensors ?? {}));
  return [...new Set(names.map((name) => placeInModel(name)?.component).filter((each) => each))];
}

/**
 * Lines of one statistic: a mean over layers for each component, or a line for each layer of one component. `pick` takes the number out of
 * what a column holds.
 */
export function tensorLines(run, field, component, pick = (value) => value) {
  const lines = new Map();
  for (const phase of phases) {
    const { step = [], tensors = {} } = run.tensors[phase] ?? {};
    for (const [name, columns] of Object.entries(tensors)) {
      const place = placeInModel(name);
      if (!place || !columns[field] || component && place.component !== component) continue;
      const key = component ? `layer ${place.layer}` : place.component;
      const line = lines.get(key) ?? lines.set(key, new Map()).get(key);
      step.forEach((each, at) => {
        const value = pick(columns[field][at] ?? null);
        if (value === null || value === undefined) return;
        const x = each + placeOf(run, phase);
        const [sum, count] = line.get(x) ?? [0, 0];
        line.set(x, [sum + value, count + 1]);
      });
    }
  }
  return [...lines].map(([label, line]) => {
    const xs = [...line.keys()].sort((a, b) => a - b);
    return { label, points: [xs, xs.map((x) => line.get(x)[0] / line.get(x)[1])] };
  });
}

/** An exponential mean that forgets its beginning; 0 smooths nothing. */
export function smoothed([xs, ys], share) {
  if (share === 0) return [xs, ys];
  let [sum, weight] = [0, 0];
  return [
    xs,
    ys.map((y) => {
      sum = share * sum + (1 - share) * y;
      weight = share * weight + (1 - share);
      return sum / weight;
    }),
  ];
}
