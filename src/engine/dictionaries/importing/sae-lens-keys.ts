/**
 * Keys of cfg.json that play no part in encoding or decoding a row, from every SAELens release between 0.7.0 and 6.54.12:
 * where rows come from, how the dictionary was trained, and what was logged meanwhile. Any other key that is not read is
 * refused, since a newer SAELens may encode by it.
 */
export const HARMLESS_KEYS: ReadonlySet<string> = new Set(
  [
    // Where rows come from.
    "metadata model_name model_class_name model_kwargs model_from_pretrained_kwargs model_batch_size hook_name hook_point",
    "hook_layer hook_point_layer hook_head_index hook_point_head_index hook_eval hook_point_eval hook_name_out",
    "hook_layer_out hook_head_index_out hf_hook_name hf_hook_name_out dataset_path dataset_trust_remote_code",
    "is_dataset_tokenized streaming prepend_bos context_size seqpos_slice exclude_special_tokens use_chat_formatting",
    "disable_concat_sequences sequence_separator_token use_cached_activations cached_activations_path",
    "new_cached_activations_path activations_mixing_fraction neuronpedia_id sae_lens_version sae_lens_training_version",
    // Where it was computed.
    "device act_store_device llm_device autocast autocast_lm compile_llm compile_sae llm_compilation_mode",
    "sae_compilation_mode prefetch_llm_batches",
    // How it was trained. `normalize_sae_decoder` and the like leave their mark in the weights.
    "b_dec_init_method decoder_heuristic_init decoder_heuristic_init_norm decoder_init_norm decoder_orthogonal_init",
    "init_encoder_as_decoder_transpose expansion_factor from_pretrained_path normalize_sae_decoder noise_scale",
    "mse_loss_normalization l0_coefficient l0_warm_up_steps l1_coefficient l1_warm_up_steps lp_norm use_ghost_grads",
    "scale_sparsity_penalty_by_decoder_norm aux_loss_coefficient use_sparse_activations finetuning_tokens",
    "finetuning_method adam_beta1 adam_beta2 lr lr_end lr_decay_steps lr_scheduler_name lr_warm_up_steps",
    "n_restart_cycles training_tokens total_training_tokens total_training_samples train_batch_size",
    "train_batch_size_tokens train_batch_size_samples store_batch_size store_batch_size_prompts n_batches_in_buffer",
    "tokens_per_buffer n_batches_for_norm_estimate feature_sampling_window dead_feature_window dead_feature_threshold",
    "jumprelu_bandwidth jumprelu_init_threshold seed resume resume_from_checkpoint topk_threshold_lr use_matryoshka_aux_loss",
    "jumprelu_sparsity_loss_mode jumprelu_ste_to_input jumprelu_tanh_scale pre_act_loss_coefficient target_l0",
    // What was logged and kept.
    "log_to_wandb log_activations_store_to_wandb log_optimizer_state_to_wandb log_weights_to_wandb logger wandb_project",
    "wandb_entity wandb_id wandb_log_frequency run_name verbose eval_every_n_wandb_logs n_eval_batches n_eval_seqs",
    "eval_batch_size_prompts n_checkpoints checkpoint_path save_final_checkpoint output_path",
  ].flatMap((line) => line.split(" ")),
);

/** Flat keys of configs before SAELens 6 that say where a dictionary belongs, by the names that metadata has for them. */
export const OLD_METADATA: Readonly<Record<string, string>> = {
  model_name: "model_name",
  hook_name: "hook_name",
  hook_point: "hook_name",
  hook_layer: "hook_layer",
  hook_point_layer: "hook_layer",
  hook_head_index: "hook_head_index",
  hook_point_head_index: "hook_head_index",
  dataset_path: "dataset_path",
  context_size: "context_size",
  prepend_bos: "prepend_bos",
  neuronpedia_id: "neuronpedia_id",
  sae_lens_training_version: "sae_lens_training_version",
};
