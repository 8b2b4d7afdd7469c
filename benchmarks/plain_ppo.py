"""PPO without what can be left out: the values that benchmarks and tests change by `dataclasses.replace`."""

from alignloop.core.ppo_config import PpoConfig

PLAIN = PpoConfig(
    steps=1,
    prompts_per_step=32,
    responses_per_prompt=1,
    minibatches=1,
    epochs=1,
    advantages="gae",
    learning_rate=1e-4,
    value_learning_rate=1e-4,
    warmup_steps=0,
    final_learning_rate=1.0,
    value_warmup_steps=0,
    adam_betas=(0.9, 0.95),
    adam_epsilon=1e-5,
    gamma=1.0,
    lam=0.95,
    clip=0.2,
    value_clip=0.2,
    value_coef=1.0,
    max_grad_norm=1.0,
    whiten_rewards=False,
    missing_eos_score=None,
    ptx_coef=0.0,
    ptx_documents_per_step=0,
    ema_decay=0.0,
    temperature=1.0,
    max_new_tokens=48,
    batch=64,
    sampler_truncate=2.0,
)
