/**
 * Loaded before a command: its first devices are lost, each at its n-th submission, or the first one is short of memory. `LOSE_AT` says n of
 * each, `SHORT_AT` behind how many answers it begins.
 *
 * @module
 */

const loseAt = (Deno.env.get("LOSE_AT") ?? "").split(",").filter(Boolean).map(Number);
const shortAt = [Number(Deno.env.get("SHORT_AT") ?? Infinity)];

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  const device = await requestDevice.call(this, descriptor);
  let [submissions, answers] = [loseAt.shift() ?? Infinity, shortAt.shift() ?? Infinity];
  const submit = device.queue.submit.bind(device.queue);
  device.queue.submit = (commands) => {
    submit(commands);
    if (--submissions === 0) device.destroy();
  };
  const popErrorScope = device.popErrorScope.bind(device);
  device.popErrorScope = async () => {
    const error = await popErrorScope();
    return --answers < 0 ? new GPUOutOfMemoryError("not enough memory left") : error;
  };
  return device;
};
