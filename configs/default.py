"""Every option with its default. The other files here start from this tree and change what they must.

    iassf train --config configs/default.py --workdir runs/default --config.data.train=DATA/train

The defaults are the training that the paper describes: 300 epochs of 1083 pairs (180 steps each), 256x256
crops, batches of 6, AdamW from 2e-4 down to 2e-6.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    """Return the default tree."""
    config = ConfigDict()
    config.seed = 0  # of the parameters, the order of the data, the crops and the flips
    config.steps = 54_000  # optimizer steps in all
    config.alpha = 2.0  # weight of the restoration in the loss (Eq. 9)
    config.loss = ConfigDict()
    config.loss.signed = False  # compute the loss on images in [-1,1], as the released code does

    config.task = ConfigDict({"name": "iassf"})  # what is trained for, see training/task.py
    config.model = iassf_model()
    # Weights to start from: packaged, a run's folder (its best checkpoint), a weights file, a PyTorch
    # checkpoint; "" is none
    config.init_from = ""
    config.init_partially = False  # take what fits from weights of another network, and report the rest
    config.data = _data()
    config.augment = _augment()
    # Haze made on the device: a recipe of data_pipelines/haze/presets.py such as "physical", or a mixture
    # such as "iassf_released:0.45,physical:0.45,clear:0.1"; "" takes the hazy images of the files.
    config.haze = ""
    config.haze_options = _haze_options()
    config.optimizer = _optimizer()
    config.ema_decay = 0.0  # of the running mean of the parameters that is validated and used; 0 is off
    # Micro-batches of a step, one after the other: less memory. 0 chooses: 1 on accelerators, on CPUs as many
    # as cost no time
    config.accumulate = 0
    config.loss_scale = "none"  # "dynamic" for model.dtype float16
    config.mesh = _mesh()

    # What happens every so many steps; 0 turns it off, and the last step always counts.
    config.log_every = 50  # a line of mean losses
    config.writers = ""  # where they go besides metrics.jsonl: "tensorboard", "wandb", "mlflow", or several
    config.eval_every = 2000  # validation on data.val
    config.eval_at_start = False  # and once before the first step: what training starts from
    config.images_every = 2000  # a picture grid of validation images; a multiple of eval_every
    config.checkpoint_every = 1000  # a checkpoint
    config.images_count = 4  # rows of the picture grid

    config.keep_last = 3  # newest checkpoints that are kept; at least 2 of a member of a population
    config.best_metric = "restored_psnr"  # whose best checkpoint is kept too; "" keeps only the newest
    config.best_mode = "max"  # "max" or "min" of best_metric is the best
    return config


def iassf_model() -> ConfigDict:
    """Return the network of the paper's text with all its fields."""
    model = ConfigDict()
    model.name = "iassf"
    model.channels = 24  # C, width of the features at full resolution; even
    # Encoder and Restormer blocks.
    model.enc_blocks = 1  # Restormer blocks after the 3x3 convolution, full resolution
    model.share_encoder = True  # one encoder for both images
    model.norm_kind = "with_bias"  # layer norm: "with_bias" or "bias_free"
    model.ffn_expansion = 2.66  # hidden width of the feed-forward networks over their channels
    # Prompts (Eq. 2).
    model.prompt_mode = "pool"  # weights for each prompt of a "pool", or for each "channel" of one prompt
    model.num_prompts = 5  # prompts in a pool
    model.prompt_size = 64  # side of a stored prompt, pixels
    model.prompt_pointwise_first = True  # Conv1x1 before Conv3x3
    model.peb_heads = 1  # attention heads of the prompt embedding in the restoration
    # Haze density (Eqs. 3 and 4).
    model.haze_window = 15  # side of the dark channel's window, pixels
    model.haze_omega = 0.95  # share of the haze that counts, (0, 1]
    model.haze_box = 61  # side of the guided filter's box, pixels
    model.haze_epsilon = 1e-4  # regularisation of the guided filter
    model.divide_by_airlight = True  # as in Eq. 3
    model.haze_gradient = False  # let gradients through the density into the encoder
    model.haze_clip = True  # confine the density to [0,1]
    # Restoration (Eqs. 5 and 6).
    model.tf_kind = "unet"  # the "Transformer block": a "unet", a single "block", or a "stack"
    model.tf_heads = (1, 2, 4)  # attention heads of each level of the U; the other kinds take the first
    model.tf_blocks = (2, 2, 4, 2, 2)  # blocks of each stage along the U
    model.tf_stack_blocks = 4  # blocks of the stack
    model.restored_residual = False  # add the hazy image to the restored one
    # Fusion.
    model.num_fusion_blocks = 5  # M; odd in layout "u"
    model.fusion_layout = "u"  # resolutions go down and up again along a "u", or stay as they are ("flat")
    model.fusion_prompt_source = "restored"  # prompt from the "restored" or the "encoded" visible feature
    model.prompt_chain = False  # each prompt from the one before; from the first one otherwise
    # Experiments and machine.
    model.ablation = "none"  # what is taken away, see models/ablations.py
    model.dtype = "float32"  # of the computation: "float32" or "bfloat16"
    model.remat = False  # recompute blocks in the backward pass: less memory, a third more time
    return model


def released_model() -> ConfigDict:
    """Return the network of the released code with all its fields."""
    model = ConfigDict()
    model.name = "iassf_released"
    # Five-tuples: one value for each layer of the restoration U, at resolutions 1, 1/2, 1/4, 1/2, 1.
    model.embed_dims = (24, 48, 96, 48, 24)  # channels
    model.depths = (8, 8, 8, 4, 4)  # blocks
    model.num_heads = (2, 4, 6, 1, 1)  # attention heads
    model.attn_ratios = (0.25, 0.5, 0.75, 0.0, 0.0)  # share of blocks with attention, the last ones
    model.mlp_ratios = (2.0, 4.0, 4.0, 2.0, 2.0)  # MLP width over channels
    model.prompt_heads = 2  # heads of the prompt embedding of the dehaze network
    model.prompt_size = 256  # side of the dehaze network's prompts, pixels
    model.fusion_width = 6  # channels of the fusion network's first stage
    model.fusion_prompt_size = 256  # side of the fusion network's prompts at full resolution, pixels
    model.num_prompts = 5  # prompts in each pool
    model.num_fusion_blocks = 5  # M, odd: 1, 3, 5 or 7
    model.window = 8  # side of an attention window, pixels
    model.ablation = "none"  # what is taken away, see models/ablations.py
    model.dtype = "float32"  # of the computation: "float32", "bfloat16" or "float16"
    model.remat = False  # recompute large blocks in the backward pass: less memory, a little more time
    model.pallas = False  # on one GPU, kernels for attention and the gradients of depthwise taps
    return model


def lite_model() -> ConfigDict:
    """Return the released dehaze network's fields with small values, and what is done around it."""
    model = ConfigDict()
    model.name = "iassf_lite"
    model.embed_dims = (16, 24, 32, 24, 16)
    model.depths = (1, 2, 4, 2, 1)
    model.num_heads = (2, 2, 2, 1, 1)
    model.attn_ratios = (0.0, 0.5, 0.5, 0.0, 0.0)
    model.mlp_ratios = (2.0, 2.0, 2.0, 2.0, 2.0)
    model.prompt_heads = 2
    model.prompt_size = 32
    model.num_prompts = 5
    model.window = 8
    model.working_side = 64  # longer side of the reduced image that is restored, pixels
    model.guide_size = 7  # side of the windows in which gains and offsets are fitted, reduced pixels
    model.guide_epsilon = 1e-5  # variance of the hazy image below which a window counts as flat
    model.haze_laws = ()  # "flat", "wave": hazes of a few numbers that may explain what the network restored
    model.rounding = 0.0  # strength with which the magnified rounding of 8-bit images is smoothed
    # Of the fused image; training aims at the maximum, which these are.
    model.detail_levels = 0  # finest levels of detail that the more structured source gives
    model.visible_detail = 1.0  # factor on the restored image's detail of those levels
    model.infrared_detail = 1.0  # factor on the infrared image's detail of those levels
    model.complement = 0.0  # share of the darker source's luma that is added to the brighter
    model.faint_infrared = 0.0  # root mean square of infrared detail up to which these apply; 0: always
    model.dtype = "float32"
    model.remat = False
    model.pallas = False
    return model


def _data() -> ConfigDict:
    data = ConfigDict()
    # Folder with GT/, hazy/ and IR/, a built set "msrs:train", or "msrs:train*3 + roadscene:train"; required
    data.train = ""
    data.val = ""  # the same for validation; "" trains without validation
    data.data_dir = ""  # folder of built sets; "" is $TFDS_DATA_DIR or ~/tensorflow_datasets
    data.val_batch = 1  # validation images on a device at a time
    data.val_limit = config_dict.placeholder(int)  # validate on the first so many scenes; None is all
    data.batch_size = 6  # images per step
    data.crop = 256  # side of the random square crops, pixels; 0 takes whole images, all of one size
    data.resize = config_dict.placeholder(
        tuple
    )  # (height, width) to which images are brought before the crop
    data.scale = config_dict.placeholder(tuple)  # (low, high) of a random factor of size before the crop
    data.infrared_range = "full"  # how infrared of more than 8 bits is read: the "full" range of its type
    # Depth files, for haze made on the device: "distance" (larger is farther), "disparity" (larger is
    # nearer), or "" (not read). See data_pipelines/depth_files.py.
    data.depth = ""
    data.depth_scale = 1.0  # metres per unit of a distance
    data.depth_limits = (1.0, 500.0)  # metres: limits of a distance; of a disparity's largest and smallest
    data.drop_remainder = True  # leave out the images of an epoch that do not fill a batch
    data.num_threads = 4  # batches prepared at a time; 0 prepares each when it is needed
    data.num_workers = 0  # processes that prepare batches; 0 is the training process itself
    data.resident = False  # keep all images on the device and crop there; the batches are the same
    data.cache_bytes = 2**30  # decoded images are kept in memory up to this size
    return data


def _augment() -> ConfigDict:
    augment = ConfigDict()
    augment.horizontal_flip = True  # mirror left-right with probability 1/2
    augment.vertical_flip = True  # mirror top-bottom with probability 1/2
    augment.rotate = False  # turn by a random multiple of 90 degrees
    augment.zoom = 1.0  # enlarge a random part of the image, by up to so much; 1 is off
    # Photometric jitter of the visible images: a factor exp(u), u even in [-strength, strength]; 0 is off.
    augment.brightness = 0.0
    augment.contrast = 0.0  # around 1/2
    augment.saturation = 0.0  # around grey
    augment.gamma = 0.0  # exponent
    return augment


def _haze_options() -> ConfigDict:
    options = ConfigDict()
    # Kind of depth for images without one: "plane", "radial", "noise", "luminance" or "mixed".
    options.pseudo_depth = "mixed"
    options.strength = 1.0  # factor on the extinction of every haze, also in the validation
    # (height, width) of the pictures that the crops are parts of; None runs the haze over the crop itself.
    options.frame = config_dict.placeholder(tuple)
    return options


def _mesh() -> ConfigDict:
    mesh = ConfigDict()
    mesh.data = -1  # devices over which batches are split; -1 is all, as far as they divide the batch
    mesh.model = 1  # devices over which single parameters can be split besides
    # Where parameters, moments and averages live: "PATTERN=PLACEMENT", the first pattern found in a path
    # counts; "replicated", "data" (split over the devices of the batch, FSDP), "model" or "data+model".
    mesh.rules = (".*=replicated",)
    return mesh


def _optimizer() -> ConfigDict:
    optimizer = ConfigDict()
    optimizer.name = "adamw"  # "adamw", "lion", "lamb", "muon" or "sgd" (momentum b1)
    optimizer.learning_rate = 2e-4  # of the first step after the warm-up
    optimizer.final_learning_rate = 2e-6  # of the last step, reached along half a cosine
    optimizer.warmup_steps = 0  # steps of linear warm-up
    optimizer.hold_steps = 1  # the rate changes every so many steps
    # Factors on the rate of groups of parameters: (("^dehaze/", 0.1), ...), the first pattern found counts,
    # 0 freezes; each group has an optimizer of its own.
    optimizer.rates = ()
    optimizer.weight_decay = 0.01  # decoupled, as in AdamW
    optimizer.decay = (
        "all"  # what decays: "all" parameters (PyTorch's default) or "kernels" (no biases, norms)
    )
    optimizer.b1 = 0.9  # decay of the first moment
    optimizer.b2 = 0.999  # decay of the second moment
    optimizer.eps = 1e-8  # added to the root of the second moment
    optimizer.clip_norm = config_dict.placeholder(float)  # largest global gradient norm; None is no clipping
    optimizer.clip_norm = 1.0
    return optimizer
