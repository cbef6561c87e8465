import { ENCODER_KINDS } from "../../encoders/registry.ts";

/** What to do with dictionaries that import recognises and Pursuit cannot run as they are. */

/** Encoder kinds, for sentences. */
export const SERVED_KINDS = ENCODER_KINDS.join(", ");

/**
 * The way that is open to every autoencoder: pursuit over its decoder, whatever its own encoder was.
 * @param decoder Python for the decoder's rows [m, d] as a tensor
 */
export const decoderAlone = (decoder: string): string =>
  "Its decoder alone can be encoded by matching pursuit: " +
  `numpy.save("atoms.npy", ${decoder}.detach().float().cpu().numpy()), then "pursuit import atoms.npy --from atoms" ` +
  '(docs/import.md, "A decoder alone").';
